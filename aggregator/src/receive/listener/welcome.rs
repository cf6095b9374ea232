//! The verdict on a CONNECT, pure: who may log in, with which will and limits.

use docksync_proto::{
    frame::FRAME_BYTES_MAX,
    site::SiteId,
    topic::{self, Leaf},
};
use rumqttc::{ConnAck, ConnAckProperties, Connect, ConnectReturnCode, LastWill, QoS};

use super::session::may_retain;

/// Room for topic and properties around the largest frame.
const TOPIC_SLACK_BYTES: usize = 4096;
/// Largest MQTT packet, either way.
pub const PACKET_BYTES_MAX: usize = FRAME_BYTES_MAX + TOPIC_SLACK_BYTES;
/// Messages to a site that may be unacknowledged, whatever it allows.
const OUTBOUND_WINDOW_MAX: u16 = 64;

/// What a login was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// Longest silence, in seconds, before 1.5 is applied; never 0.
    pub(super) keep_alive_secs: u16,
    /// Messages to the site that may be unacknowledged.
    pub(super) outbound_max: u16,
    /// Largest packet that the site takes.
    pub(super) packet_bytes_max: u32,
}

/// Decides on a login whose certificate was already found good.
pub(super) fn judge(
    site: &SiteId,
    connect: &Connect,
    will: Option<&LastWill>,
    keep_alive_secs_max: u16,
) -> Result<Terms, ConnectReturnCode> {
    let asked = connect.properties.as_ref();
    if asked.is_some_and(|p| p.authentication_method.is_some()) {
        return Err(ConnectReturnCode::BadAuthenticationMethod);
    }
    if let Some(will) = will {
        judge_will(site, will)?;
    }
    let own = u32::try_from(PACKET_BYTES_MAX).unwrap_or(u32::MAX);
    Ok(Terms {
        keep_alive_secs: match connect.keep_alive {
            0 => keep_alive_secs_max,
            secs => secs.min(keep_alive_secs_max),
        },
        outbound_max: asked.and_then(|p| p.receive_maximum).unwrap_or(u16::MAX).min(OUTBOUND_WINDOW_MAX),
        packet_bytes_max: asked.and_then(|p| p.max_packet_size).unwrap_or(own).min(own),
    })
}

fn judge_will(site: &SiteId, will: &LastWill) -> Result<(), ConnectReturnCode> {
    // The will says that the site is away: nothing else may be published in its name after its end.
    if will.topic != topic::of(site, Leaf::State) {
        return Err(ConnectReturnCode::NotAuthorized);
    }
    if will.qos == QoS::ExactlyOnce {
        return Err(ConnectReturnCode::QoSNotSupported);
    }
    if !may_retain(Leaf::State, will.retain) {
        return Err(ConnectReturnCode::RetainNotSupported);
    }
    Ok(())
}

/// The answer to a login that is granted.
pub(super) fn welcome(site: &SiteId, connect: &Connect, terms: Terms, receive_max: u16) -> ConnAck {
    ConnAck {
        session_present: false,
        code: ConnectReturnCode::Success,
        properties: Some(ConnAckProperties {
            session_expiry_interval: Some(0),
            receive_max: Some(receive_max),
            max_qos: Some(1),
            max_packet_size: u32::try_from(PACKET_BYTES_MAX).ok(),
            assigned_client_identifier: connect.client_id.is_empty().then(|| site.to_string()),
            topic_alias_max: Some(0),
            wildcard_subscription_available: Some(0),
            subscription_identifiers_available: Some(0),
            shared_subscription_available: Some(0),
            server_keep_alive: (connect.keep_alive != terms.keep_alive_secs).then_some(terms.keep_alive_secs),
            retain_available: None,
            reason_string: None,
            user_properties: Vec::new(),
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        }),
    }
}

/// The answer to a login that is refused.
pub(super) fn refusal(code: ConnectReturnCode) -> ConnAck {
    ConnAck { session_present: false, code, properties: None }
}
