"""librdkafka through confluent-kafka: produce a file, or dump a topic by assignment."""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from common import arguments, dump_record, key_and_headers, records


def produce(args):
    failed = []

    def on_delivery(error, _message):
        if error is not None:
            failed.append(str(error))

    producer = Producer({
        "bootstrap.servers": args.bootstrap,
        "acks": args.acks,
        "enable.idempotence": args.idempotent == "true" and args.acks == "all",
        "compression.type": args.codec,
        "linger.ms": 5,
        # Without idempotence only one request in flight keeps the order when one is sent again.
        "max.in.flight": 5 if args.acks == "all" else 1,
        "message.max.bytes": 1000000,
        "queue.buffering.max.kbytes": 65536,
        "on_delivery": on_delivery,
    })
    count = 0
    for number, value in enumerate(records(args.input, args.mode)):
        key, headers = key_and_headers(number, args.key)
        more = {}
        if args.timestamp_base is not None:
            more["timestamp"] = args.timestamp_base + number
        while True:
            try:
                producer.produce(args.topic, value=value, key=key, headers=headers, **more)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
        if failed:
            break
        count += 1
    left = producer.flush(120)
    if failed or left:
        raise SystemExit(f"{len(failed)} failed, {left} not delivered: {failed[:3]}")
    print(f"produced {count}")


def consume(args):
    out = sys.stdout.buffer
    consumer = Consumer({
        "bootstrap.servers": args.bootstrap,
        "group.id": "unused",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": 65536,
    })
    consumer.assign([TopicPartition(args.topic, p, 0) for p in range(args.partitions)])
    open_partitions = set(range(args.partitions))
    last_seen = time.monotonic()
    while open_partitions:
        # It waits for all that it may give: little patience, so that the end is not waited for.
        messages = consumer.consume(10000, timeout=0.2)
        if messages:
            last_seen = time.monotonic()
        elif time.monotonic() - last_seen > 30:
            raise SystemExit(f"nothing for 30 s, partitions still open: {sorted(open_partitions)}")
        for message in messages:
            error = message.error()
            if error is None:
                dump_record(out, message.partition(), message.offset(), message.timestamp()[1],
                            message.key(), message.headers(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            else:
                raise KafkaException(error)
    out.flush()
    consumer.close()


if __name__ == "__main__":
    arguments_given = arguments(__doc__)
    {"produce": produce, "consume": consume}[arguments_given.command](arguments_given)
