"""aiokafka: produce a file, or dump a topic by assignment."""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from common import arguments, dump_record, key_and_headers, records

IN_FLIGHT_MAX = 5000


async def produce(args):
    producer = AIOKafkaProducer(
        bootstrap_servers=args.bootstrap,
        acks={"0": 0, "1": 1, "all": "all"}[args.acks],
        enable_idempotence=args.idempotent == "true" and args.acks == "all",
        compression_type=None if args.codec == "none" else args.codec,
        max_batch_size=262144,
        max_request_size=1048576,
        linger_ms=5,
    )
    await producer.start()
    count = 0
    waiting = []
    try:
        for number, value in enumerate(records(args.input, args.mode)):
            key, headers = key_and_headers(number, args.key)
            timestamp = None if args.timestamp_base is None else args.timestamp_base + number
            waiting.append(await producer.send(args.topic, value=value, key=key, headers=headers,
                                               timestamp_ms=timestamp))
            count += 1
            if len(waiting) >= IN_FLIGHT_MAX:
                await asyncio.gather(*waiting)
                waiting = []
        await producer.flush()
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    print(f"produced {count}")


async def consume(args):
    out = sys.stdout.buffer
    consumer = AIOKafkaConsumer(
        bootstrap_servers=args.bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=1048576,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(args.topic, p) for p in range(args.partitions)]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        ends = await consumer.end_offsets(partitions)
        open_partitions = {p for p, end in ends.items() if end > 0}
        while open_partitions:
            batches = await consumer.getmany(timeout_ms=30000, max_records=20000)
            if not batches:
                raise SystemExit(f"nothing for 30 s, partitions still open: {sorted(open_partitions)}")
            for partition, messages in batches.items():
                for m in messages:
                    dump_record(out, m.partition, m.offset, m.timestamp, m.key, m.headers, m.value)
                if messages[-1].offset + 1 >= ends[partition]:
                    open_partitions.discard(partition)
    finally:
        await consumer.stop()
    out.flush()


if __name__ == "__main__":
    arguments_given = arguments(__doc__)
    asyncio.run({"produce": produce, "consume": consume}[arguments_given.command](arguments_given))
