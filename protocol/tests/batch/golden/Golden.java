import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.metadata.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.metadata.MetadataRecordSerde;
import org.apache.kafka.server.common.ApiMessageAndVersion;
import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.*;

/** Prints golden batches ("batches") or metadata records ("records") made by Kafka's own classes: name, tab, hex. */
public class Golden {
  static final long NOW = 1_700_000_000_000L;
  static void put(String name, ByteBuffer b) {
    byte[] x = new byte[b.remaining()]; b.duplicate().get(x);
    System.out.println(name + "\t" + HexFormat.of().formatHex(x));
  }
  static MemoryRecordsBuilder builder(Compression c, TimestampType t, long base, long producer, short epoch, int sequence, boolean txn, boolean control, int leaderEpoch) {
    return MemoryRecords.builder(ByteBuffer.allocate(1 << 16), (byte) 2, c, t, base, NOW + 7, producer, epoch, sequence, txn, control, leaderEpoch);
  }
  static void fill(MemoryRecordsBuilder b) {
    b.append(NOW, "k0".getBytes(), "v0".getBytes());
    b.append(NOW + 40, (byte[]) null, "a longer value, a longer value, a longer value".getBytes(), new Header[] { new RecordHeader("h", "x".getBytes()), new RecordHeader("", null) });
    b.append(NOW - 70_000, "".getBytes(), (byte[]) null);
  }
  static void batches() {
    for (var type : CompressionType.values()) {
      var b = builder(Compression.of(type).build(), TimestampType.CREATE_TIME, 0, -1, (short) -1, -1, false, false, -1);
      fill(b); put(type.name, b.build().buffer());
    }
    var b = builder(Compression.NONE, TimestampType.LOG_APPEND_TIME, 100, -1, (short) -1, -1, false, false, 5);
    fill(b); put("append time", b.build().buffer());
    b = builder(Compression.NONE, TimestampType.CREATE_TIME, 1L << 40, 4_000_000_000L, (short) 3, Integer.MAX_VALUE - 1, true, false, 9);
    fill(b); put("transactional", b.build().buffer());
    put("commit", MemoryRecords.withEndTransactionMarker(0L, NOW, 4, 77L, (short) 2, new EndTransactionMarker(ControlRecordType.COMMIT, 12)).buffer());
    put("abort", MemoryRecords.withEndTransactionMarker(0L, NOW, 4, 77L, (short) 2, new EndTransactionMarker(ControlRecordType.ABORT, 12)).buffer());
    put("leader change", MemoryRecords.withLeaderChangeMessage(10, NOW, 3, ByteBuffer.allocate(512), new LeaderChangeMessage().setVersion((short) 0).setLeaderId(1)
      .setVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(1), new LeaderChangeMessage.Voter().setVoterId(2)))
      .setGrantingVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(1)))).buffer());
    put("snapshot header", MemoryRecords.withSnapshotHeaderRecord(0, NOW, 3, ByteBuffer.allocate(512), new SnapshotHeaderRecord().setVersion((short) 0).setLastContainedLogTimestamp(NOW - 1)).buffer());
    put("snapshot footer", MemoryRecords.withSnapshotFooterRecord(8, NOW, 3, ByteBuffer.allocate(512), new SnapshotFooterRecord().setVersion((short) 0)).buffer());
    put("kraft version", MemoryRecords.withKRaftVersionRecord(1, NOW, 3, ByteBuffer.allocate(512), new KRaftVersionRecord().setVersion((short) 0).setKRaftVersion((short) 1)).buffer());
    put("voters", MemoryRecords.withVotersRecord(2, NOW, 3, ByteBuffer.allocate(512), new VotersRecord().setVersion((short) 0).setVoters(List.of(
      new VotersRecord.Voter().setVoterId(1).setVoterDirectoryId(new Uuid(1, 2)).setEndpoints(new VotersRecord.EndpointCollection(List.of(
        new VotersRecord.Endpoint().setName("CONTROLLER").setHost("host").setPort(60000)).iterator()))
        .setKRaftVersionFeature(new VotersRecord.KRaftVersionFeature().setMinSupportedVersion((short) 0).setMaxSupportedVersion((short) 1))))).buffer());
  }
  static void record(String name, ApiMessage m, int version) {
    var serde = new MetadataRecordSerde(); var cache = new ObjectSerializationCache(); var r = new ApiMessageAndVersion(m, (short) version);
    var buffer = ByteBuffer.allocate(serde.recordSize(r, cache)); serde.write(r, cache, new ByteBufferAccessor(buffer)); buffer.flip(); put(name, buffer);
  }
  static RegisterBrokerRecord broker() {
    return new RegisterBrokerRecord().setBrokerId(1).setIncarnationId(new Uuid(3, 4)).setBrokerEpoch(77).setRack("r").setFenced(true)
      .setEndPoints(new RegisterBrokerRecord.BrokerEndpointCollection(List.of(new RegisterBrokerRecord.BrokerEndpoint().setName("EXTERNAL").setHost("host").setPort(65000).setSecurityProtocol((short) 1)).iterator()))
      .setFeatures(new RegisterBrokerRecord.BrokerFeatureCollection(List.of(new RegisterBrokerRecord.BrokerFeature().setName("metadata.version").setMinSupportedVersion((short) 7).setMaxSupportedVersion((short) 30)).iterator()));
  }
  static PartitionRecord partition() {
    return new PartitionRecord().setPartitionId(3).setTopicId(new Uuid(5, 6)).setReplicas(List.of(1, 2, 3)).setIsr(List.of(1, 2)).setRemovingReplicas(List.of()).setAddingReplicas(List.of(4))
      .setLeader(1).setLeaderEpoch(5).setPartitionEpoch(8);
  }
  static PartitionChangeRecord change() { return new PartitionChangeRecord().setPartitionId(1).setTopicId(new Uuid(5, 6)); }
  static void records() {
    for (int v = 0; v <= 4; v++) {
      var m = broker();
      if (v >= 1) m.setInControlledShutdown(true);
      if (v >= 3) m.setLogDirs(List.of(new Uuid(7, 8)));
      if (v >= 4) m.setCordonedLogDirs(List.of());
      record("RegisterBroker " + v, m, v);
    }
    record("RegisterBroker 4 least", broker().setRack(null), 4);
    record("UnregisterBroker 0", new UnregisterBrokerRecord().setBrokerId(1).setBrokerEpoch(3), 0);
    record("Topic 0", new TopicRecord().setName("orders").setTopicId(new Uuid(5, 6)), 0);
    record("Partition 0", partition(), 0);
    record("Partition 1", partition().setDirectories(List.of(new Uuid(7, 8))), 1);
    record("Partition 2", partition().setDirectories(List.of(new Uuid(7, 8))).setLeaderRecoveryState((byte) 1).setEligibleLeaderReplicas(List.of(3)).setLastKnownElr(List.of(2)), 2);
    record("Partition 2 least", partition().setDirectories(List.of()), 2);
    record("Config 0", new ConfigRecord().setResourceType((byte) 2).setResourceName("orders").setName("retention.ms").setValue("\u00fc"), 0);
    record("Config 0 removed", new ConfigRecord().setResourceType((byte) 4).setResourceName("").setName("a").setValue(null), 0);
    record("PartitionChange 0", change().setIsr(List.of(1)).setLeader(2), 0);
    record("PartitionChange 1", change().setDirectories(List.of(new Uuid(7, 8))), 1);
    record("PartitionChange 2", change().setIsr(List.of(1)).setLeader(-1).setReplicas(List.of(1, 2)).setRemovingReplicas(List.of()).setAddingReplicas(List.of(2)).setLeaderRecoveryState((byte) 0)
      .setDirectories(List.of(new Uuid(7, 8), new Uuid(0, 1))).setEligibleLeaderReplicas(List.of(5)).setLastKnownElr(List.of()), 2);
    record("PartitionChange 2 least", change(), 2);
    record("FenceBroker 0", new FenceBrokerRecord().setId(1).setEpoch(4), 0);
    record("UnfenceBroker 0", new UnfenceBrokerRecord().setId(1).setEpoch(5), 0);
    record("RemoveTopic 0", new RemoveTopicRecord().setTopicId(new Uuid(5, 6)), 0);
    record("FeatureLevel 0", new FeatureLevelRecord().setName("metadata.version").setFeatureLevel((short) 30), 0);
    record("ClientQuota 0", new ClientQuotaRecord().setEntity(List.of(new ClientQuotaRecord.EntityData().setEntityType("user").setEntityName(null), new ClientQuotaRecord.EntityData().setEntityType("client-id").setEntityName("c")))
      .setKey("producer_byte_rate").setValue(1024.5).setRemove(true), 0);
    record("ProducerIds 0", new ProducerIdsRecord().setBrokerId(1).setBrokerEpoch(5).setNextProducerId(2000), 0);
    record("BrokerRegistrationChange 0", new BrokerRegistrationChangeRecord().setBrokerId(1).setBrokerEpoch(2).setFenced((byte) -1), 0);
    record("BrokerRegistrationChange 3", new BrokerRegistrationChangeRecord().setBrokerId(1).setBrokerEpoch(2).setFenced((byte) 1).setInControlledShutdown((byte) 1).setLogDirs(List.of(new Uuid(7, 8))).setCordonedLogDirs(List.of(new Uuid(7, 8))), 3);
    record("BrokerRegistrationChange 3 least", new BrokerRegistrationChangeRecord().setBrokerId(1).setBrokerEpoch(2), 3);
    record("AccessControlEntry 0", new AccessControlEntryRecord().setId(new Uuid(9, 9)).setResourceType((byte) 2).setResourceName("orders").setPatternType((byte) 3).setPrincipal("User:a").setHost("*").setOperation((byte) 3).setPermissionType((byte) 3), 0);
    record("NoOp 0", new NoOpRecord(), 0);
    record("BeginTransaction 0", new BeginTransactionRecord().setName("bootstrap"), 0);
    record("BeginTransaction 0 least", new BeginTransactionRecord(), 0);
    record("EndTransaction 0", new EndTransactionRecord(), 0);
    record("AbortTransaction 0", new AbortTransactionRecord().setReason("because"), 0);
    record("RegisterController 0", new RegisterControllerRecord().setControllerId(3000).setIncarnationId(new Uuid(3, 4)).setZkMigrationReady(false)
      .setEndPoints(new RegisterControllerRecord.ControllerEndpointCollection(List.of(new RegisterControllerRecord.ControllerEndpoint().setName("CONTROLLER").setHost("::1").setPort(9093).setSecurityProtocol((short) 0)).iterator()))
      .setFeatures(new RegisterControllerRecord.ControllerFeatureCollection(List.of(new RegisterControllerRecord.ControllerFeature().setName("kraft.version").setMinSupportedVersion((short) 0).setMaxSupportedVersion((short) 1)).iterator())), 0);
    record("ClearElr 0", new ClearElrRecord().setTopicName("orders"), 0);
  }
  public static void main(String[] a) { if (a[0].equals("batches")) batches(); else records(); }
}
