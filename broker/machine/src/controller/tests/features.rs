//! UpdateFeatures.

use super::*;

fn update(bench: &mut Bench, updates: &[(&str, i16, Option<FeatureDirection>)]) -> Result<(), String> {
    let updates = updates.iter().map(|&(feature, level, direction)| FeatureUpdate {
        feature: feature.to_owned(),
        level,
        direction,
    });
    let command = UpdateFeatures { updates: updates.collect(), validate_only: false };
    match bench.run(Command::UpdateFeatures(command)) {
        Reply::UpdateFeatures(result) => result.map_err(|error| told(error).1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn levels_stay_where_kafka_leaves_them() {
    const UP: Option<FeatureDirection> = Some(FeatureDirection::Upgrade);
    const SAFE: Option<FeatureDirection> = Some(FeatureDirection::SafeDowngrade);
    const UNSAFE: Option<FeatureDirection> = Some(FeatureDirection::UnsafeDowngrade);
    let mut bench = Bench::with_brokers(&[1]);
    let before = bench.controller.clone();
    let of_metadata =
        |level, why: &str| Err(format!("Invalid update version {level} for feature metadata.version. {why}"));
    let range = "Local controller 1 only supports versions 7-30";
    let cases = [
        (30, UP, Ok(())),
        (30, None, of_metadata(30, "The controller does not support the given upgrade type.")),
        (31, UP, of_metadata(31, range)),
        (6, UNSAFE, of_metadata(6, range)),
        (-1, UP, of_metadata(-1, "A feature version cannot be less than 0.")),
        (
            29,
            UP,
            of_metadata(
                29,
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or \
                 unsafe downgrade.",
            ),
        ),
        (
            7,
            SAFE,
            Err("Unsupported metadata.version downgrade from 30 to 7. Refusing to perform the requested downgrade \
                 because it might delete metadata information."
                .to_owned()),
        ),
        (
            7,
            UNSAFE,
            Err("Unsupported metadata.version downgrade from 30 to 7. Unsafe metadata downgrade is not supported in \
                 this version."
                .to_owned()),
        ),
    ];
    for (level, direction, wanted) in cases {
        assert_eq!(update(&mut bench, &[("metadata.version", level, direction)]), wanted);
    }
    let of_other = |level, why: &str| Err(format!("Invalid update version {level} for feature x. {why}"));
    assert_eq!(
        update(&mut bench, &[("metadata.version", 30, UP), ("x", 1, UP)]),
        of_other(1, "Local controller 1 does not support this feature.")
    );
    assert_eq!(update(&mut bench, &[("x", 0, UP)]), of_other(0, "Feature x not found."));
    assert_eq!(bench.controller, before, "nothing was written");
}
