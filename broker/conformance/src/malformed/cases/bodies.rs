//! Bodies that lie about their counts and lengths, end early, or go on.

use slipring_protocol::api::advertised;

use crate::malformed::body::{Body, Lie};
use crate::malformed::case::{Case, Ending};
use crate::session::schema::Schema;

/// Every length and count of every request in every version, replaced by every lie; and bytes after the end.
pub(super) fn counts(schema: &Schema) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, key, version, body) in requests(schema) {
        for point in &body.points {
            for lie in Lie::ALL {
                let Some(lied) = body.with(point, lie) else { continue };
                let name = format!("count {name} {} {}", point.path, lie.name());
                cases.push(Case::request(name, key, version, &lied));
            }
        }
        for extra in [1, 7, 3_000] {
            let longer = [&body.bytes[..], &vec![0; extra]].concat();
            cases.push(Case::request(format!("trailing {name}"), key, version, &longer));
        }
        cases.push(Case::request(format!("whole {name}"), key, version, &body.bytes));
    }
    cases
}

/// Every request in every version, its frame ending after every byte of the body; in the highest version also with a length
/// that promises the rest.
pub(super) fn truncated(schema: &Schema) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, key, version, body) in requests(schema) {
        for end in 0..body.bytes.len() {
            cases.push(Case::request(format!("cut {name}"), key, version, &body.bytes[..end]));
        }
        let whole = Case::request(format!("cut and closed {name}"), key, version, &body.bytes);
        let highest = advertised().find(|api| api.key.code() == key).is_some_and(|api| api.max == version);
        for end in (0..whole.bytes.len()).filter(|_| highest) {
            let mut case = whole.clone().ending(Ending::HalfClose);
            case.bytes.truncate(end);
            cases.push(case);
        }
    }
    cases
}

fn requests(schema: &Schema) -> impl Iterator<Item = (&'static str, i16, i16, Body)> {
    advertised().flat_map(|api| {
        let message = schema.request(api.name);
        (api.min_served..=api.max)
            .map(move |version| (api.name, api.key.code(), version, Body::of(message, version)))
    })
}
