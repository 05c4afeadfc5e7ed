//! The table of runs. 27 rows hold every pair of producer and consumer, of producer and partitions, mode, keys, of consumer and codec,
//! partitions, mode, keys, and of codec, partitions, mode and keys among each other, as far as the clients can do it; each
//! producer meets three of the five codecs (all 45 pairs would take 45 rows).

use crate::clients::Client::{
    self, Aiokafka, FranzGo, Java, JavaConsole, JavaPerf, Kafkajs, Kcat, Librdkafka, Sarama,
};
use crate::clients::{Acks, Codec};
use crate::dataset::Mode::{self, Chunks, Counter, Lines};

/// One producer fills a topic, then each consumer reads all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Part of the slice that CI runs.
    pub(crate) is_in_ci: bool,
    pub(crate) producer: Client,
    pub(crate) consumers: &'static [Client],
    pub(crate) partitions: i32,
    pub(crate) codec: Codec,
    pub(crate) is_keyed: bool,
    pub(crate) mode: Mode,
    pub(crate) acks: Acks,
}

#[allow(clippy::too_many_arguments, reason = "a line of the table below")]
const fn row(
    is_in_ci: bool,
    producer: Client,
    consumers: &'static [Client],
    partitions: i32,
    codec: Codec,
    is_keyed: bool,
    mode: Mode,
    acks: Acks,
) -> Row {
    Row { is_in_ci, producer, consumers, partitions, codec, is_keyed, mode, acks }
}

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    // in CI, producer, consumers, partitions, codec, keyed, mode, acks
    row(false, Kcat, &[Kcat, JavaConsole, FranzGo], 1, Codec::Snappy, true, Lines, Acks::All),
    row(true, Kcat, &[Java, FranzGo], 4, Codec::None, false, Chunks, Acks::All),
    row(false, Kcat, &[Librdkafka, Aiokafka, Sarama], 64, Codec::Gzip, true, Lines, Acks::Leader),
    row(true, Librdkafka, &[Librdkafka, Sarama], 1, Codec::Lz4, false, Chunks, Acks::All),
    row(false, Librdkafka, &[JavaConsole, FranzGo], 4, Codec::Zstd, true, Lines, Acks::All),
    row(false, Librdkafka, &[Kcat, Java, Aiokafka], 64, Codec::Snappy, true, Lines, Acks::Leader),
    row(false, JavaConsole, &[Kcat, FranzGo], 1, Codec::Zstd, false, Lines, Acks::All),
    row(true, JavaConsole, &[JavaConsole, Java, Aiokafka], 4, Codec::Gzip, true, Lines, Acks::All),
    row(false, JavaConsole, &[Librdkafka, Sarama], 64, Codec::None, true, Lines, Acks::Leader),
    row(true, JavaPerf, &[JavaConsole, Java], 1, Codec::None, false, Counter, Acks::All),
    row(false, JavaPerf, &[Kcat, Aiokafka], 4, Codec::Lz4, false, Counter, Acks::Leader),
    row(false, JavaPerf, &[Librdkafka, FranzGo, Sarama], 64, Codec::Gzip, false, Counter, Acks::All),
    row(false, Java, &[JavaConsole, Aiokafka], 1, Codec::Snappy, false, Lines, Acks::None),
    row(false, Java, &[Kcat, Librdkafka, Sarama], 4, Codec::None, true, Chunks, Acks::All),
    row(true, Java, &[Java, FranzGo], 64, Codec::Zstd, false, Lines, Acks::All),
    row(true, Aiokafka, &[Kcat, Librdkafka, FranzGo], 1, Codec::Snappy, true, Chunks, Acks::All),
    row(false, Aiokafka, &[Kcat, JavaConsole], 4, Codec::Gzip, false, Lines, Acks::Leader),
    row(false, Aiokafka, &[Java, Aiokafka, Sarama], 64, Codec::Lz4, true, Chunks, Acks::All),
    row(false, FranzGo, &[Kcat, Sarama], 1, Codec::Zstd, true, Chunks, Acks::All),
    row(false, FranzGo, &[JavaConsole, FranzGo], 4, Codec::Lz4, true, Lines, Acks::Leader),
    row(true, FranzGo, &[Librdkafka, Java, Aiokafka], 64, Codec::Snappy, false, Lines, Acks::All),
    row(false, Sarama, &[JavaConsole, FranzGo], 1, Codec::Snappy, false, Lines, Acks::None),
    row(true, Sarama, &[Librdkafka, Aiokafka, Sarama], 4, Codec::Zstd, true, Chunks, Acks::All),
    row(false, Sarama, &[Kcat, Java], 64, Codec::Gzip, true, Chunks, Acks::All),
    row(false, Kafkajs, &[JavaConsole, Java], 1, Codec::Gzip, false, Lines, Acks::All),
    row(false, Kafkajs, &[Librdkafka, FranzGo, Sarama], 4, Codec::Snappy, true, Chunks, Acks::All),
    row(true, Kafkajs, &[Kcat, Aiokafka], 64, Codec::None, false, Chunks, Acks::None),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Debug;

    use super::*;

    const PRODUCERS: [Client; 9] =
        [Kcat, Librdkafka, JavaConsole, JavaPerf, Java, Aiokafka, FranzGo, Sarama, Kafkajs];
    const CONSUMERS: [Client; 7] = [Kcat, Librdkafka, JavaConsole, Java, Aiokafka, FranzGo, Sarama];
    const PARTITIONS: [i32; 3] = [1, 4, 64];
    const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    const MODES: [Mode; 3] = [Lines, Chunks, Counter];

    fn covered(pairs: impl Fn(&Row) -> Vec<String>) -> BTreeSet<String> {
        ROWS.iter().flat_map(pairs).collect()
    }

    fn pair(a: impl Debug, b: impl Debug) -> String {
        format!("{a:?} {b:?}")
    }

    #[test]
    fn rows_are_possible() {
        for row in ROWS {
            assert!(row.producer.produces(row.mode, row.is_keyed), "{row:?}");
            assert!(row.consumers.iter().all(|client| client.consumes(row.mode, row.partitions)), "{row:?}");
        }
    }

    #[test]
    fn every_pair_with_a_producer_is_there() {
        let there = covered(|row| {
            let mut pairs: Vec<_> = row.consumers.iter().map(|client| pair(row.producer, client)).collect();
            pairs.push(pair(row.producer, row.partitions));
            pairs.push(pair(row.producer, row.mode));
            pairs.push(pair(row.producer, row.is_keyed));
            pairs
        });
        for producer in PRODUCERS {
            let codecs: BTreeSet<_> =
                ROWS.iter().filter(|row| row.producer == producer).map(|row| row.codec).collect();
            assert_eq!(codecs.len(), 3, "{producer}");
            for consumer in CONSUMERS {
                assert!(there.contains(&pair(producer, consumer)), "{producer} {consumer}");
            }
            for partitions in PARTITIONS {
                assert!(there.contains(&pair(producer, partitions)), "{producer} {partitions}");
            }
            for mode in MODES {
                for is_keyed in [false, true] {
                    if producer.produces(mode, is_keyed) {
                        assert!(there.contains(&pair(producer, mode)), "{producer} {mode:?}");
                        assert!(there.contains(&pair(producer, is_keyed)), "{producer} {is_keyed}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_pair_with_a_consumer_is_there() {
        let there = covered(|row| {
            let of = |client: &Client| {
                [
                    pair(client, row.codec),
                    pair(client, row.partitions),
                    pair(client, row.mode),
                    pair(client, row.is_keyed),
                ]
            };
            row.consumers.iter().flat_map(of).collect()
        });
        for consumer in CONSUMERS {
            for codec in CODECS {
                assert!(there.contains(&pair(consumer, codec)), "{consumer} {codec:?}");
            }
            for partitions in PARTITIONS {
                for mode in MODES {
                    if consumer.consumes(mode, partitions) {
                        assert!(there.contains(&pair(consumer, partitions)), "{consumer} {partitions}");
                        assert!(there.contains(&pair(consumer, mode)), "{consumer} {mode:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_pair_of_settings_is_there() {
        let there = covered(|row| {
            vec![
                pair(row.codec, row.partitions),
                pair(row.codec, row.mode),
                pair(row.codec, row.is_keyed),
                pair(row.partitions, row.mode),
                pair(row.partitions, row.is_keyed),
                pair(row.mode, row.is_keyed),
            ]
        });
        for mode in [Lines, Chunks] {
            for is_keyed in [false, true] {
                assert!(there.contains(&pair(mode, is_keyed)));
                for codec in CODECS {
                    for partitions in PARTITIONS {
                        for wanted in [
                            pair(codec, partitions),
                            pair(codec, mode),
                            pair(codec, is_keyed),
                            pair(partitions, mode),
                            pair(partitions, is_keyed),
                        ] {
                            assert!(there.contains(&wanted), "{wanted}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_slice_for_ci_meets_every_client_and_codec() {
        let slice = || ROWS.iter().filter(|row| row.is_in_ci);
        assert!(PRODUCERS.iter().all(|client| slice().any(|row| row.producer == *client)));
        assert!(CONSUMERS.iter().all(|client| slice().any(|row| row.consumers.contains(client))));
        assert!(CODECS.iter().all(|codec| slice().any(|row| row.codec == *codec)));
        assert!(PARTITIONS.iter().all(|count| slice().any(|row| row.partitions == *count)));
    }
}
