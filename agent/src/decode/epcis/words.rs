//! Words of the GS1 Core Business Vocabulary 2.0 in their three spellings, and what they mean here.

use docksync_proto::event::RefKind;

/// A word of the vocabulary in short form: `shipping` for `urn:epcglobal:cbv:bizstep:shipping`,
/// `https://ref.gs1.org/cbv/BizStep-shipping` and `cbv:BizStep-shipping` (CBV 2.0 section 7). A partner's own word stays.
pub(super) fn short(text: &str) -> &str {
    let text = text.trim();
    if let Some(urn) = text.strip_prefix("urn:epcglobal:cbv:") {
        return urn.split_once(':').map_or(urn, |(_, word)| word);
    }
    let web = ["https://ref.gs1.org/cbv/", "http://ref.gs1.org/cbv/", "https://ns.gs1.org/cbv/", "cbv:"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix));
    web.and_then(|word| word.split_once('-')).map_or(text, |(_, word)| word)
}

/// What the goods' status is after the event; `None` where the disposition says nothing about it (EVENTS 3.3).
pub(super) fn stock_status(disposition: &str) -> Option<&'static str> {
    Some(match disposition {
        "sellable_accessible" | "available" => "available",
        "reserved" | "sellable_not_accessible" => "allocated",
        "damaged" => "damaged",
        "expired" => "expired",
        "in_transit" => "in_transit",
        "recalled" | "non_sellable_other" | "non_sellable_quarantined" | "quarantined" | "unavailable" => "hold",
        _ => return None,
    })
}

/// Which document a business transaction is (CBV 2.0 section 7.3).
pub(super) fn reference(kind: &str) -> Option<RefKind> {
    Some(match kind {
        "po" => RefKind::Po,
        "bol" => RefKind::Bol,
        "desadv" => RefKind::Desadv,
        "recadv" => RefKind::Recadv,
        "inv" => RefKind::Inv,
        "rma" => RefKind::Rma,
        "prodorder" => RefKind::Prodorder,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_spellings_are_one_word() {
        for text in [
            "shipping",
            "urn:epcglobal:cbv:bizstep:shipping",
            "https://ref.gs1.org/cbv/BizStep-shipping",
            "cbv:BizStep-shipping",
        ] {
            assert_eq!(short(text), "shipping");
        }
        assert_eq!(short("http://partner.example/step-7"), "http://partner.example/step-7");
        assert_eq!(short("urn:epcglobal:cbv:disp"), "disp");
    }
}
