//! Reasons of adjustments by X12 element 374 (EVENTS 3.1), for feeds that carry those codes.

use std::collections::BTreeMap;

const X12: &[(&str, &[&str])] = &[
    ("count_gain", &["56", "51"]),
    ("count_loss", &["06"]),
    ("damage", &["AU", "AV", "07", "BD"]),
    ("expired", &["AX"]),
    ("hold", &["05"]),
    ("release", &["55"]),
    ("quality_in", &["08"]),
    ("quality_out", &["88"]),
    ("rework", &["52", "AS"]),
    ("recall", &["AW"]),
    ("receipt_correction", &["04", "54", "AY"]),
    ("shipment_correction", &["03", "53", "AR"]),
    ("transfer", &["AK"]),
    ("customer_return", &["CR"]),
    ("sample", &["CS"]),
    ("donation", &["CD"]),
    ("ownership", &["AG"]),
    ("relabel", &["AE", "AF", "AN"]),
    ("other", &["AH", "AB", "AC", "AD", "AI", "AJ", "AL", "AP", "AT", "BA"]),
];

/// Code to reason, as the table `reason_x12` of a profile.
pub(super) fn x12() -> BTreeMap<String, String> {
    let pairs =
        X12.iter().flat_map(|(reason, codes)| codes.iter().map(|code| ((*code).to_owned(), (*reason).to_owned())));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_reason_is_one_of_the_contract() {
        for (reason, _) in super::X12 {
            assert!(docksync_proto::codes::REASONS.contains(reason), "{reason}");
        }
    }
}
