"""Two members of one group, by librdkafka: the first takes a whole topic, shares it with the second, reads everything,
commits, and has the topic back when the second leaves. Prints what it saw; exits with a message when something is not as
it should be.
"""

import argparse
import sys
import time

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

RECORDS = 600


class Member:
    def __init__(self, given, name):
        self.name = name
        self.owned = set()
        settings = {
            "bootstrap.servers": given.bootstrap,
            "group.id": given.group,
            "client.id": name,
            "group.protocol": given.protocol,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
        if given.protocol == "classic":
            settings["partition.assignment.strategy"] = "cooperative-sticky"
        self.consumer = Consumer(settings)
        topic = f"^{given.topic}$" if given.regex else given.topic
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.revoked)

    def assigned(self, consumer, partitions):
        self.owned |= {partition.partition for partition in partitions}
        consumer.incremental_assign(partitions)

    def revoked(self, consumer, partitions):
        self.commit()
        self.owned -= {partition.partition for partition in partitions}
        consumer.incremental_unassign(partitions)

    def commit(self):
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as failure:
            if failure.args[0].code() != KafkaError._NO_OFFSET:
                raise

    def poll(self, seen):
        for message in self.consumer.consume(200, timeout=0.1):
            if message.error() is not None:
                raise KafkaException(message.error())
            seen.add((message.partition(), message.offset()))


def until(what, given, members, seen, holds):
    deadline = time.monotonic() + given.patience
    while not holds():
        if time.monotonic() > deadline:
            owned = {member.name: sorted(member.owned) for member in members}
            raise SystemExit(f"{what}: not within {given.patience} s; {owned}, {len(seen)} records")
        for member in members:
            member.poll(seen)
    print(f"{what}: " + ", ".join(f"{member.name} {sorted(member.owned)}" for member in members))


def produce(given):
    producer = Producer({"bootstrap.servers": given.bootstrap})
    for number in range(RECORDS):
        producer.produce(given.topic, b"%d" % number, partition=number % given.partitions)
    if producer.flush(30):
        raise SystemExit("records were not delivered")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--protocol", choices=["classic", "consumer"], required=True)
    parser.add_argument("--regex", action="store_true")
    parser.add_argument("--patience", type=float, default=40)
    given = parser.parse_args()
    everything = set(range(given.partitions))

    produce(given)
    seen = set()
    first = Member(given, "first")
    until("alone", given, [first], seen, lambda: first.owned == everything)
    second = Member(given, "second")
    both = [first, second]
    until("shared", given, both, seen,
          lambda: first.owned and second.owned and not first.owned & second.owned
          and first.owned | second.owned == everything)
    produce(given)
    until("read", given, both, seen, lambda: len(seen) == 2 * RECORDS)
    for member in both:
        member.commit()
    admin = AdminClient({"bootstrap.servers": given.bootstrap})
    described = admin.describe_consumer_groups([given.group])[given.group].result()
    if len(described.members) != 2 or described.state.name != "STABLE":
        raise SystemExit(f"described as {described.state} with {len(described.members)} members")
    second.consumer.close()
    until("alone again", given, [first], seen, lambda: first.owned == everything)
    first.consumer.close()

    asked = ConsumerGroupTopicPartitions(given.group, [TopicPartition(given.topic, p) for p in sorted(everything)])
    committed = admin.list_consumer_group_offsets([asked])[given.group].result().topic_partitions
    total = sum(partition.offset for partition in committed)
    if total != 2 * RECORDS:
        raise SystemExit(f"{total} records are committed")
    print(f"{given.protocol}: {total} records read and committed")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
