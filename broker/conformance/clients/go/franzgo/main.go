// franz-go (kgo): produce a file, or dump a topic by assignment.
package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"slipring/conformance/common"
)

func main() { common.Main(produce, consume) }

func produce(o common.Options) (int64, error) {
	acks := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}[o.Acks]
	codec := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[o.Codec]
	options := []kgo.Opt{
		kgo.SeedBrokers(o.Bootstrap), kgo.DefaultProduceTopic(o.Topic), kgo.RequiredAcks(acks),
		kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(1_000_000),
		kgo.ProducerLinger(5 * time.Millisecond), kgo.MaxBufferedRecords(20_000), kgo.MaxBufferedBytes(64 << 20),
	}
	if !o.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	var once sync.Once
	var failed error
	var count int64
	err = common.Records(o, func(number int64, value []byte) error {
		record := &kgo.Record{Value: value, Key: common.KeyOf(o, number)}
		if header := common.HeaderOf(o, number); header != nil {
			record.Headers = []kgo.RecordHeader{{Key: "n", Value: header}}
		}
		if o.TimestampBase >= 0 {
			record.Timestamp = time.UnixMilli(o.TimestampBase + number)
		}
		client.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
		count++
		return nil
	})
	if err != nil {
		return 0, err
	}
	if err := client.Flush(context.Background()); err != nil {
		return 0, err
	}
	once.Do(func() {})
	return count, failed
}

func consume(o common.Options, dump *common.Dump) error {
	start := make(map[int32]kgo.Offset, o.Partitions)
	for p := int32(0); p < int32(o.Partitions); p++ {
		start[p] = kgo.NewOffset().At(0)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(o.Bootstrap),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.Topic: start}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchMaxBytes(32<<20),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ends, left, err := endOffsets(client, o)
	if err != nil {
		return err
	}
	for left > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		for _, e := range fetches.Errors() {
			return fmt.Errorf("partition %d: %w (%d open)", e.Partition, e.Err, left)
		}
		var failed error
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, r := range p.Records {
				var header []byte
				for _, h := range r.Headers {
					if h.Key == "n" {
						header = h.Value
					}
				}
				if err := dump.Record(r.Partition, r.Offset, r.Timestamp.UnixMilli(), r.Key, header, r.Value); err != nil {
					failed = err
				}
				if r.Offset+1 == ends[r.Partition] {
					left--
				}
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// endOffsets asks for the end of every partition; the second result counts those with records.
func endOffsets(client *kgo.Client, o common.Options) ([]int64, int, error) {
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = o.Topic
	for p := int32(0); p < int32(o.Partitions); p++ {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition = p
		partition.Timestamp = -1
		topic.Partitions = append(topic.Partitions, partition)
	}
	request := kmsg.NewPtrListOffsetsRequest()
	request.Topics = append(request.Topics, topic)
	ends, left := make([]int64, o.Partitions), 0
	for _, shard := range client.RequestSharded(context.Background(), request) {
		if shard.Err != nil {
			return nil, 0, shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, 0, err
				}
				ends[p.Partition] = p.Offset
				if p.Offset > 0 {
					left++
				}
			}
		}
	}
	return ends, left, nil
}
