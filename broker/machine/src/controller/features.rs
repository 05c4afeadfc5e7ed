//! UpdateFeatures (Kafka's `FeatureControlManager`): levels of the features that this node understands.

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::metadata_records::{FeatureLevel, MetadataRecord};

use super::{ApiError, Controller, Decision};
use crate::image::METADATA_VERSION;

/// Features that are to have other levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateFeatures {
    /// The features, as the request lists them.
    pub updates: Vec<FeatureUpdate>,
    /// Only check.
    pub validate_only: bool,
}

/// One feature that is to have another level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// Its name.
    pub feature: String,
    /// Its level; 0 is off.
    pub level: i16,
    /// Which way it may go; `None` is a way that nobody knows.
    pub direction: Option<FeatureDirection>,
}

/// Which way the level of a feature may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureDirection {
    /// Up only.
    Upgrade,
    /// Down, where nothing is lost.
    SafeDowngrade,
    /// Down, also where something is lost.
    UnsafeDowngrade,
}

/// Why a level can't be.
enum Refusal {
    /// Kafka's words for any feature.
    Update(String),
    /// Its words for `metadata.version`.
    Metadata(&'static str),
}

impl Controller {
    /// Changes the levels of features, of all or of none. The error is that of the first that can't.
    pub fn update_features(&self, command: &UpdateFeatures) -> Decision<Result<(), ApiError>> {
        let mut records = Vec::new();
        for update in &command.updates {
            match self.update_feature(update) {
                Ok(record) => records.extend(record),
                Err(why) => {
                    let message = self.refusal(update, why);
                    return Decision::nothing(Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message)));
                }
            }
        }
        let records = if command.validate_only { Vec::new() } else { records };
        Decision::atomic(records, Ok(()))
    }

    fn update_feature(&self, update: &FeatureUpdate) -> Result<Option<MetadataRecord>, Refusal> {
        let refuse = |why: &str| Err(Refusal::Update(why.to_owned()));
        let Some(direction) = update.direction else {
            return refuse("The controller does not support the given upgrade type.");
        };
        if update.level < 0 {
            return refuse("A feature version cannot be less than 0.");
        }
        self.check_supported(update).map_err(Refusal::Update)?;
        let present = self.image.feature(&update.feature);
        let is_upgrade = direction == FeatureDirection::Upgrade;
        if update.level < present && is_upgrade {
            return refuse(
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or \
                 unsafe downgrade.",
            );
        }
        if update.level > present && !is_upgrade {
            return refuse("Can't downgrade to a newer version.");
        }
        if update.level < present && update.feature == METADATA_VERSION {
            return Err(Refusal::Metadata(match direction {
                FeatureDirection::UnsafeDowngrade => {
                    "Unsafe metadata downgrade is not supported in this version."
                }
                FeatureDirection::Upgrade | FeatureDirection::SafeDowngrade => {
                    "Refusing to perform the requested downgrade because it might delete metadata information."
                }
            }));
        }
        if update.level == present {
            // Off is a level that even a feature passes for that nobody knows.
            if present == 0 && !self.is_known(&update.feature) {
                return refuse(&format!("Feature {} not found.", update.feature));
            }
            return Ok(None);
        }
        Ok(Some(FeatureLevel { name: update.feature.clone(), level: update.level }.into()))
    }

    fn is_known(&self, feature: &str) -> bool {
        let mut known = self.image.controllers().flat_map(|controller| &controller.features);
        known.any(|range| range.name == feature)
    }

    fn refusal(&self, update: &FeatureUpdate, why: Refusal) -> String {
        let (level, feature) = (update.level, &update.feature);
        match why {
            Refusal::Update(why) => format!("Invalid update version {level} for feature {feature}. {why}"),
            Refusal::Metadata(why) => {
                let present = self.image.feature(METADATA_VERSION);
                format!("Unsupported metadata.version downgrade from {present} to {level}. {why}")
            }
        }
    }

    /// Every controller and broker that is registered must understand the level.
    fn check_supported(&self, update: &FeatureUpdate) -> Result<(), String> {
        let node = self.config.node_id;
        let controllers = self.image.controllers().map(|controller| {
            let who = if controller.id == node {
                format!("Local controller {node}")
            } else {
                format!("Controller {}", controller.id)
            };
            (who, &controller.features)
        });
        let brokers = self.image.brokers().map(|broker| (format!("Broker {}", broker.id), &broker.features));
        for (who, features) in controllers.chain(brokers) {
            let range = features.iter().find(|feature| feature.name == update.feature);
            match range {
                None if update.level == 0 => {}
                None => return Err(format!("{who} does not support this feature.")),
                Some(range) if (range.min..=range.max).contains(&update.level) => {}
                Some(range) => {
                    return Err(format!("{who} only supports versions {}-{}", range.min, range.max));
                }
            }
        }
        Ok(())
    }
}
