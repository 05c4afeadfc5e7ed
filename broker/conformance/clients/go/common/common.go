// Package common holds what the Go clients share: the command line, the input
// files and the dump, as clients/python/common.py describes them.
package common

import (
	"bufio"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

const keyCount = 1009

// Options is the command line.
type Options struct {
	Bootstrap, Topic, Input, Mode, Key, Codec, Acks string
	Partitions                                      int
	Idempotent                                      bool
	TimestampBase                                   int64
}

// Main runs produce or consume with the options given and exits.
func Main(produce func(Options) (int64, error), consume func(Options, *Dump) error) {
	var o Options
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	flags.StringVar(&o.Bootstrap, "bootstrap", "", "")
	flags.StringVar(&o.Topic, "topic", "", "")
	flags.IntVar(&o.Partitions, "partitions", 0, "")
	flags.StringVar(&o.Input, "input", "", "")
	flags.StringVar(&o.Mode, "mode", "lines", "lines or chunks")
	flags.StringVar(&o.Key, "key", "none", "none or keyed")
	flags.StringVar(&o.Codec, "codec", "none", "")
	flags.StringVar(&o.Acks, "acks", "all", "0, 1 or all")
	idempotent := flags.String("idempotent", "true", "")
	flags.Int64Var(&o.TimestampBase, "timestamp-base", -1, "")
	if len(os.Args) < 2 {
		fail(errors.New("produce or consume?"))
	}
	_ = flags.Parse(os.Args[2:])
	o.Idempotent = *idempotent == "true" && o.Acks == "all"
	switch os.Args[1] {
	case "produce":
		count, err := produce(o)
		fail(err)
		fmt.Printf("produced %d\n", count)
	case "consume":
		dump := &Dump{w: bufio.NewWriterSize(os.Stdout, 1<<20)}
		fail(consume(o, dump))
		fail(dump.w.Flush())
	default:
		fail(fmt.Errorf("unknown command %q", os.Args[1]))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Records calls each for every record of the input file, in order.
func Records(o Options, each func(number int64, value []byte) error) error {
	file, err := os.Open(o.Input)
	if err != nil {
		return err
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 1<<20)
	for number := int64(0); ; number++ {
		value, err := next(reader, o.Mode)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = each(number, value)
		}
		if err != nil {
			return err
		}
	}
}

func next(reader *bufio.Reader, mode string) ([]byte, error) {
	if mode == "lines" {
		line, err := reader.ReadBytes('\n')
		if len(line) == 0 {
			return nil, err
		}
		if line[len(line)-1] == '\n' {
			line = line[:len(line)-1]
		}
		return line, nil
	}
	var head [4]byte
	if _, err := io.ReadFull(reader, head[:]); err != nil {
		return nil, err
	}
	value := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(reader, value); err != nil {
		return nil, fmt.Errorf("truncated record: %w", err)
	}
	return value, nil
}

// KeyOf is the key of record number, nil when unkeyed.
func KeyOf(o Options, number int64) []byte {
	if o.Key == "none" {
		return nil
	}
	return fmt.Appendf(nil, "k%d", number%keyCount)
}

// HeaderOf is the value of header n, nil when unkeyed.
func HeaderOf(o Options, number int64) []byte {
	if o.Key == "none" {
		return nil
	}
	return fmt.Appendf(nil, "%d", number)
}

// Dump writes consumed records to standard output.
type Dump struct {
	w       *bufio.Writer
	scratch []byte
}

// Record writes one record; nil stands for absent.
func (d *Dump) Record(partition int32, offset, timestamp int64, key, header, value []byte) error {
	b := d.scratch[:0]
	b = binary.BigEndian.AppendUint32(b, uint32(partition))
	b = binary.BigEndian.AppendUint64(b, uint64(offset))
	b = binary.BigEndian.AppendUint64(b, uint64(timestamp))
	for _, field := range [][]byte{key, header, value} {
		if field == nil {
			b = binary.BigEndian.AppendUint32(b, ^uint32(0))
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	d.scratch = b
	_, err := d.w.Write(b)
	return err
}
