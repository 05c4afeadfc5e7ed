// sarama: produce a file, or dump a topic by assignment.
package main

import (
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"slipring/conformance/common"
)

func main() { common.Main(produce, consume) }

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.ClientID = "sarama"
	return config
}

func produce(o common.Options) (int64, error) {
	c := config()
	c.Producer.RequiredAcks = map[string]sarama.RequiredAcks{
		"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll,
	}[o.Acks]
	c.Producer.Compression = map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}[o.Codec]
	c.Producer.Idempotent = o.Idempotent
	c.Net.MaxOpenRequests = 1
	c.Producer.Return.Successes = true
	c.Producer.Return.Errors = true
	c.Producer.MaxMessageBytes = 1_000_000
	c.Producer.Flush.Bytes = 256 << 10
	c.Producer.Flush.Frequency = 5 * time.Millisecond
	producer, err := sarama.NewAsyncProducer([]string{o.Bootstrap}, c)
	if err != nil {
		return 0, err
	}
	finished := make(chan error, 1)
	go func() {
		var failed error
		successes, failures := producer.Successes(), producer.Errors()
		for successes != nil || failures != nil {
			select {
			case _, ok := <-successes:
				if !ok {
					successes = nil
				}
			case e, ok := <-failures:
				if !ok {
					failures = nil
				} else if failed == nil {
					failed = e.Err
				}
			}
		}
		finished <- failed
	}()
	var count int64
	err = common.Records(o, func(number int64, value []byte) error {
		message := &sarama.ProducerMessage{Topic: o.Topic, Value: sarama.ByteEncoder(value)}
		if key := common.KeyOf(o, number); key != nil {
			message.Key = sarama.ByteEncoder(key)
			message.Headers = []sarama.RecordHeader{{Key: []byte("n"), Value: common.HeaderOf(o, number)}}
		}
		if o.TimestampBase >= 0 {
			message.Timestamp = time.UnixMilli(o.TimestampBase + number)
		}
		producer.Input() <- message
		count++
		return nil
	})
	producer.AsyncClose()
	if failed := <-finished; err == nil {
		err = failed
	}
	return count, err
}

func consume(o common.Options, dump *common.Dump) error {
	c := config()
	c.Consumer.Return.Errors = true
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	client, err := sarama.NewClient([]string{o.Bootstrap}, c)
	if err != nil {
		return err
	}
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	defer consumer.Close()
	type event struct {
		message *sarama.ConsumerMessage
		err     error
	}
	events := make(chan event, 1024)
	ends := make([]int64, o.Partitions)
	left := 0
	for p := int32(0); p < int32(o.Partitions); p++ {
		if ends[p], err = client.GetOffset(o.Topic, p, sarama.OffsetNewest); err != nil {
			return err
		}
		if ends[p] == 0 {
			continue
		}
		left++
		partition, err := consumer.ConsumePartition(o.Topic, p, 0)
		if err != nil {
			return err
		}
		defer partition.AsyncClose()
		go func() {
			for m := range partition.Messages() {
				events <- event{message: m}
			}
		}()
		go func() {
			for e := range partition.Errors() {
				events <- event{err: e.Err}
			}
		}()
	}
	for left > 0 {
		select {
		case e := <-events:
			if e.err != nil {
				return e.err
			}
			m := e.message
			var header []byte
			for _, h := range m.Headers {
				if string(h.Key) == "n" {
					header = h.Value
				}
			}
			if err := dump.Record(m.Partition, m.Offset, m.Timestamp.UnixMilli(), m.Key, header, m.Value); err != nil {
				return err
			}
			if m.Offset+1 == ends[m.Partition] {
				left--
			}
		case <-time.After(30 * time.Second):
			return fmt.Errorf("nothing for 30 s, %d partitions open", left)
		}
	}
	return nil
}
