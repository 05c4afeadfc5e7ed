// kafkajs as a producer (its consumer needs groups). The command line and the input
// files are those of clients/python/common.py.
'use strict';

const fs = require('fs');
const readline = require('readline');
const { parseArgs } = require('util');
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs');

const KEY_COUNT = 1009;
const BATCH_BYTES = 512 * 1024;
const BATCH_RECORDS = 5000;

async function installCodecs() {
  const snappy = require('snappy');
  const lz4 = require('lz4-napi');
  const zstd = require('@bokuweb/zstd-wasm');
  await zstd.init();
  const codec = (compress) => () => ({
    compress: async (encoder) => Buffer.from(await compress(encoder.buffer)),
    decompress: async () => { throw new Error('not a consumer'); },
  });
  CompressionCodecs[CompressionTypes.Snappy] = codec((buffer) => snappy.compress(buffer));
  CompressionCodecs[CompressionTypes.LZ4] = codec((buffer) => lz4.compressFrame(buffer));
  CompressionCodecs[CompressionTypes.ZSTD] = codec((buffer) => zstd.compress(buffer, 3));
}

async function* lines(path) {
  const input = fs.createReadStream(path, { highWaterMark: 1 << 20 });
  for await (const line of readline.createInterface({ input, crlfDelay: Infinity })) {
    yield Buffer.from(line);
  }
}

async function* chunks(path) {
  let rest = Buffer.alloc(0);
  for await (const part of fs.createReadStream(path, { highWaterMark: 4 << 20 })) {
    rest = Buffer.concat([rest, part]);
    let at = 0;
    while (rest.length - at >= 4 && rest.length - at - 4 >= rest.readUInt32BE(at)) {
      const end = at + 4 + rest.readUInt32BE(at);
      yield rest.subarray(at + 4, end);
      at = end;
    }
    rest = Buffer.from(rest.subarray(at));
  }
  if (rest.length) throw new Error(`${path}: truncated record`);
}

async function produce(options) {
  await installCodecs();
  const kafka = new Kafka({
    clientId: 'kafkajs', brokers: options.bootstrap.split(','), logLevel: logLevel.ERROR,
  });
  const producer = kafka.producer({
    idempotent: options.idempotent === 'true' && options.acks === 'all',
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
  });
  await producer.connect();
  const acks = { 0: 0, 1: 1, all: -1 }[options.acks];
  const compression = {
    none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy,
    lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD,
  }[options.codec];
  const base = options['timestamp-base'];
  let messages = [];
  let bytes = 0;
  let number = 0;
  const send = async () => {
    if (messages.length) await producer.send({ topic: options.topic, acks, compression, messages });
    messages = [];
    bytes = 0;
  };
  for await (const value of (options.mode === 'lines' ? lines : chunks)(options.input)) {
    if (bytes + value.length > BATCH_BYTES || messages.length >= BATCH_RECORDS) await send();
    const message = { value };
    if (options.key === 'keyed') {
      message.key = `k${number % KEY_COUNT}`;
      message.headers = { n: `${number}` };
    }
    if (base !== undefined) message.timestamp = `${Number(base) + number}`;
    messages.push(message);
    bytes += value.length;
    number += 1;
  }
  await send();
  await producer.disconnect();
  console.log(`produced ${number}`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bootstrap: { type: 'string' }, topic: { type: 'string' }, partitions: { type: 'string' },
    input: { type: 'string' }, mode: { type: 'string' }, key: { type: 'string', default: 'none' },
    codec: { type: 'string', default: 'none' }, acks: { type: 'string', default: 'all' },
    idempotent: { type: 'string', default: 'true' }, 'timestamp-base': { type: 'string' },
  },
});
if (positionals[0] !== 'produce') {
  console.error('only `produce`: the consumer of kafkajs needs groups');
  process.exit(2);
}
produce(values).catch((error) => {
  console.error(error);
  process.exit(1);
});
