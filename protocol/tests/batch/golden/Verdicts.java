import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.utils.*;
import org.apache.kafka.storage.internals.log.*;
import java.io.*;
import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.*;

/** Reads cases (one a line, tab separated), asks Kafka's own classes, writes case and verdict. */
public class Verdicts {
  static final LogValidator.MetricsRecorder NONE = new LogValidator.MetricsRecorder() {
    public void recordInvalidMagic() {} public void recordInvalidOffset() {} public void recordInvalidSequence() {}
    public void recordInvalidChecksums() {} public void recordNoKeyCompactedTopic() {}
  };
  public static void main(String[] args) throws Exception {
    var in = new BufferedReader(new InputStreamReader(System.in));
    var out = new PrintStream(new BufferedOutputStream(System.out));
    for (String line; (line = in.readLine()) != null;) {
      if (line.startsWith("#")) { out.println(line); continue; }
      out.println(line + "\t" + verdict(line.split("\t", -1)));
    }
    out.flush();
  }
  static String verdict(String[] f) {
    short version = Short.parseShort(f[1]);
    int max = Integer.parseInt(f[2]);
    var type = f[3].equals("append") ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
    long before = Long.parseLong(f[4]), after = Long.parseLong(f[5]);
    boolean compacted = f[6].equals("compact");
    long now = Long.parseLong(f[7]);
    byte[] bytes = HexFormat.of().parseHex(f[8]);
    try {
      var records = MemoryRecords.readableRecords(ByteBuffer.wrap(bytes));
      ProduceRequest.validateRecords(version, records);
      // what UnifiedLog.analyzeAndValidateRecords does for a client
      int valid = 0; CompressionType source = CompressionType.NONE;
      for (var batch : records.batches()) {
        if (batch.baseOffset() != 0) throw new InvalidRecordException("base offset");
        batch.lastOffset();
        if (batch.sizeInBytes() > max) throw new RecordTooLargeException("size");
        if (!batch.isValid()) throw new CorruptRecordException("crc");
        valid += batch.sizeInBytes();
        var codec = CompressionType.forId(batch.compressionType().id);
        if (codec != CompressionType.NONE) source = codec;
      }
      if (valid <= 0) return "empty";
      var buffer = ByteBuffer.wrap(bytes); buffer.limit(valid);
      var time = new Time() {
        public long milliseconds() { return now; } public long nanoseconds() { return 0; } public long hiResClockMs() { return now; }
        public void sleep(long ms) {} public void waitObject(Object o, java.util.function.Supplier<Boolean> c, long d) {}
        public org.apache.kafka.common.utils.Timer timer(long t) { return null; }
      };
      var validator = new LogValidator(MemoryRecords.readableRecords(buffer), new TopicPartition("t", 0), time, source,
        Compression.of(source).build(), compacted, (byte) 2, type, before, after, 0, AppendOrigin.CLIENT);
      var result = validator.validateMessagesAndAssignOffsets(PrimitiveRef.ofLong(0), NONE, BufferSupplier.NO_CACHING);
      var b = result.validatedRecords().batches().iterator().next();
      return "ok " + b.maxTimestamp() + " " + (b.timestampType() == TimestampType.LOG_APPEND_TIME ? "append" : "create");
    } catch (RecordValidationException e) {
      return "refused " + Errors.forException(e.invalidException()).code() + " "
        + e.recordErrors().stream().map(r -> "" + r.batchIndex).collect(Collectors.joining(","));
    } catch (Throwable e) {
      return "refused " + Errors.forException(e).code() + " ";
    }
  }
}
