// The Java client: produce a file, or dump a topic by assignment. The command line, the input
// files and the dump are those of clients/python/common.py.

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Client {
    private static final int KEY_COUNT = 1009;

    public static void main(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int i = 1; i + 1 < args.length; i += 2) {
            options.put(args[i].replaceFirst("^--", ""), args[i + 1]);
        }
        switch (args.length == 0 ? "" : args[0]) {
            case "produce" -> produce(options);
            case "consume" -> consume(options);
            default -> throw new IllegalArgumentException("produce or consume?");
        }
    }

    private static void produce(Map<String, String> options) throws Exception {
        String acks = options.getOrDefault("acks", "all");
        boolean idempotent = options.getOrDefault("idempotent", "true").equals("true") && acks.equals("all");
        boolean keyed = options.getOrDefault("key", "none").equals("keyed");
        long base = Long.parseLong(options.getOrDefault("timestamp-base", "-1"));
        Properties config = new Properties();
        config.put("bootstrap.servers", options.get("bootstrap"));
        config.put("acks", acks);
        config.put("enable.idempotence", idempotent);
        config.put("max.in.flight.requests.per.connection", idempotent ? 5 : 1);
        config.put("compression.type", options.getOrDefault("codec", "none"));
        config.put("batch.size", 131072);
        config.put("linger.ms", 5);
        config.put("max.request.size", 1048576);
        AtomicReference<Exception> failed = new AtomicReference<>();
        long count = 0;
        try (KafkaProducer<byte[], byte[]> producer =
                     new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
             Input input = new Input(options.get("input"), options.get("mode").equals("lines"))) {
            for (byte[] value = input.next(); value != null && failed.get() == null; value = input.next()) {
                byte[] key = keyed ? ("k" + count % KEY_COUNT).getBytes(StandardCharsets.US_ASCII) : null;
                Long timestamp = base < 0 ? null : base + count;
                var record = new ProducerRecord<>(options.get("topic"), null, timestamp, key, value);
                if (keyed) {
                    record.headers().add("n", Long.toString(count).getBytes(StandardCharsets.US_ASCII));
                }
                producer.send(record, (metadata, error) -> {
                    if (error != null) {
                        failed.compareAndSet(null, error);
                    }
                });
                count++;
            }
        }
        if (failed.get() != null) {
            throw failed.get();
        }
        System.out.println("produced " + count);
    }

    private static void consume(Map<String, String> options) throws IOException {
        Properties config = new Properties();
        config.put("bootstrap.servers", options.get("bootstrap"));
        config.put("enable.auto.commit", false);
        config.put("auto.offset.reset", "none");
        config.put("max.poll.records", 10000);
        List<TopicPartition> partitions = new ArrayList<>();
        for (int p = 0; p < Integer.parseInt(options.get("partitions")); p++) {
            partitions.add(new TopicPartition(options.get("topic"), p));
        }
        try (KafkaConsumer<byte[], byte[]> consumer =
                     new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
             DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 20))) {
            consumer.assign(partitions);
            partitions.forEach(partition -> consumer.seek(partition, 0));
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            long idleSince = System.nanoTime();
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofSeconds(1));
                if (!records.isEmpty()) {
                    idleSince = System.nanoTime();
                } else if (System.nanoTime() - idleSince > 30_000_000_000L) {
                    throw new IOException("nothing for 30 s");
                }
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    dump(out, record);
                }
            }
        }
    }

    private static void dump(DataOutputStream out, ConsumerRecord<byte[], byte[]> record) throws IOException {
        Header number = record.headers().lastHeader("n");
        out.writeInt(record.partition());
        out.writeLong(record.offset());
        out.writeLong(record.timestamp());
        for (byte[] field : new byte[][] {record.key(), number == null ? null : number.value(), record.value()}) {
            out.writeInt(field == null ? -1 : field.length);
            if (field != null) {
                out.write(field);
            }
        }
    }

    /** The records of an input file, one after the other. */
    private static final class Input implements AutoCloseable {
        private final DataInputStream file;
        private final boolean lines;

        Input(String path, boolean lines) throws IOException {
            this.file = new DataInputStream(new BufferedInputStream(new FileInputStream(path), 1 << 20));
            this.lines = lines;
        }

        byte[] next() throws IOException {
            if (lines) {
                ByteArrayOutputStream line = new ByteArrayOutputStream(512);
                for (int b = file.read(); b >= 0; b = file.read()) {
                    if (b == '\n') {
                        return line.toByteArray();
                    }
                    line.write(b);
                }
                return line.size() == 0 ? null : line.toByteArray();
            }
            int size;
            try {
                size = file.readInt();
            } catch (EOFException end) {
                return null;
            }
            byte[] value = new byte[size];
            file.readFully(value);
            return value;
        }

        @Override
        public void close() throws IOException {
            file.close();
        }
    }
}
