//! The protocol of one connection as a pure machine: packets in, what to do out. No I/O, no clock.

use std::collections::VecDeque;

use bytes::Bytes;
use docksync_proto::{
    site::SiteId,
    topic::{self, CENTRE, Leaf},
};
use rumqttc::{
    DisconnectReasonCode, Packet, PubAck, PubAckReason, Publish, QoS, RetainForwardRule, SubAck, Subscribe,
    SubscribeReasonCode, UnsubAck, UnsubAckReason, Unsubscribe,
};

/// What the shell does next.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "lives for one step; a box would cost an allocation per packet")]
pub(super) enum Output {
    /// Writes a packet.
    Send(Packet),
    /// Hands a message on; with a packet id, its acknowledgement follows the verdict.
    Deliver { leaf: Leaf, payload: Bytes, packet_id: Option<u16> },
    /// Refuses a message, in the order of acknowledgements.
    Refuse { packet_id: u16, reason: PubAckReason },
    /// Sends the retained state of the centre.
    SendCentre,
    /// Says why, and closes.
    Close(DisconnectReasonCode),
    /// Closes without a word, because the peer said goodbye.
    Leave { with_will: bool },
}

/// Limits of one session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Messages of the site that may be unacknowledged.
    pub(super) inbound_max: u16,
    /// Messages to the site that may be unacknowledged.
    pub(super) outbound_max: u16,
}

/// State of one connection after its CONNECT.
#[derive(Debug)]
pub(super) struct Session {
    site: SiteId,
    own: Vec<(Leaf, String)>,
    subscribed: Vec<(String, QoS)>,
    window: Window,
    unacked_in: VecDeque<u16>,
    unacked_out: VecDeque<u16>,
    last_id: u16,
}

impl Session {
    pub(super) fn new(site: SiteId, window: Window) -> Self {
        let own = Leaf::ALL.into_iter().filter(|leaf| leaf.is_from_site());
        let own = own.map(|leaf| (leaf, topic::of(&site, leaf))).collect();
        Self {
            site,
            own,
            subscribed: Vec::new(),
            window,
            unacked_in: VecDeque::new(),
            unacked_out: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Takes one packet of the peer.
    pub(super) fn on(&mut self, packet: Packet, out: &mut Vec<Output>) {
        match packet {
            Packet::Publish(publish) => out.push(self.on_publish(publish)),
            Packet::PubAck(ack) => out.extend(self.on_puback(&ack)),
            Packet::PingReq => out.push(Output::Send(Packet::PingResp)),
            Packet::Subscribe(subscribe) => self.on_subscribe(&subscribe, out),
            Packet::Unsubscribe(unsubscribe) => out.push(self.on_unsubscribe(&unsubscribe)),
            Packet::Disconnect(goodbye) => {
                out.push(Output::Leave { with_will: goodbye.reason_code != DisconnectReasonCode::NormalDisconnection })
            }
            Packet::Auth(_)
            | Packet::Connect(..)
            | Packet::ConnAck(_)
            | Packet::PingResp
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_) => out.push(Output::Close(DisconnectReasonCode::ProtocolError)),
        }
    }

    /// The acknowledgement of the oldest message that waits for one.
    pub(super) fn acknowledge(&mut self, packet_id: u16, reason: PubAckReason) -> Packet {
        debug_assert_eq!(self.unacked_in.front(), Some(&packet_id), "acknowledgements keep the order of messages");
        self.unacked_in.pop_front();
        let mut ack = PubAck::new(packet_id, None);
        ack.reason = reason;
        Packet::PubAck(ack)
    }

    /// Whether the peer may be sent one more message.
    pub(super) fn can_send(&self) -> bool {
        self.unacked_out.len() < usize::from(self.window.outbound_max)
    }

    /// A message to the peer, where it subscribed to it.
    pub(super) fn send(&mut self, leaf: Leaf, payload: Bytes) -> Option<Packet> {
        self.publish(topic::of(&self.site, leaf), payload, false)
    }

    /// The state of the centre, where the peer subscribed to it. `retained`: sent because of a new subscription.
    pub(super) fn send_centre(&mut self, payload: Bytes, retained: bool) -> Option<Packet> {
        if payload.is_empty() { None } else { self.publish(CENTRE.to_owned(), payload, retained) }
    }

    fn publish(&mut self, topic: String, payload: Bytes, retain: bool) -> Option<Packet> {
        let qos = self.subscribed.iter().find(|(filter, _)| *filter == topic).map(|(_, qos)| *qos)?;
        let mut publish = Publish::new(topic, qos, payload, None);
        publish.retain = retain;
        if qos == QoS::AtLeastOnce {
            publish.pkid = self.next_id();
            self.unacked_out.push_back(publish.pkid);
        }
        Some(Packet::Publish(publish))
    }

    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.unacked_out.contains(&self.last_id) {
                return self.last_id;
            }
        }
    }

    fn on_publish(&mut self, publish: Publish) -> Output {
        if publish.properties.as_ref().is_some_and(|p| p.topic_alias.is_some()) {
            return Output::Close(DisconnectReasonCode::TopicAliasInvalid);
        }
        let leaf = self.own.iter().find(|(_, topic)| topic.as_bytes() == publish.topic).map(|(leaf, _)| *leaf);
        match publish.qos {
            QoS::ExactlyOnce => Output::Close(DisconnectReasonCode::QoSNotSupported),
            QoS::AtMostOnce => Self::on_unacknowledged(leaf, publish),
            QoS::AtLeastOnce => self.on_acknowledged(leaf, publish),
        }
    }

    /// QoS 0 has no answer but to close, and only presence and heartbeat may get lost.
    fn on_unacknowledged(leaf: Option<Leaf>, publish: Publish) -> Output {
        match leaf {
            Some(leaf @ (Leaf::State | Leaf::UpBeat)) if may_retain(leaf, publish.retain) => {
                Output::Deliver { leaf, payload: publish.payload, packet_id: None }
            }
            Some(Leaf::State | Leaf::UpBeat) => Output::Close(DisconnectReasonCode::RetainNotSupported),
            Some(Leaf::UpBatch | Leaf::UpHello | Leaf::UpMark | Leaf::DownBatch | Leaf::DownMark) => {
                Output::Close(DisconnectReasonCode::QoSNotSupported)
            }
            None => Output::Close(DisconnectReasonCode::NotAuthorized),
        }
    }

    fn on_acknowledged(&mut self, leaf: Option<Leaf>, publish: Publish) -> Output {
        if self.unacked_in.contains(&publish.pkid) {
            return Output::Close(DisconnectReasonCode::ProtocolError);
        }
        if self.unacked_in.len() >= usize::from(self.window.inbound_max) {
            return Output::Close(DisconnectReasonCode::ReceiveMaximumExceeded);
        }
        self.unacked_in.push_back(publish.pkid);
        match leaf {
            Some(leaf) if may_retain(leaf, publish.retain) => {
                Output::Deliver { leaf, payload: publish.payload, packet_id: Some(publish.pkid) }
            }
            Some(_) | None => Output::Refuse { packet_id: publish.pkid, reason: PubAckReason::NotAuthorized },
        }
    }

    fn on_puback(&mut self, ack: &PubAck) -> Option<Output> {
        let before = self.unacked_out.len();
        self.unacked_out.retain(|id| *id != ack.pkid);
        (before == self.unacked_out.len()).then_some(Output::Close(DisconnectReasonCode::ProtocolError))
    }

    fn on_subscribe(&mut self, subscribe: &Subscribe, out: &mut Vec<Output>) {
        if subscribe.properties.as_ref().is_some_and(|p| p.id.is_some()) {
            out.push(Output::Close(DisconnectReasonCode::SubscriptionIdentifiersNotSupported));
            return;
        }
        let mut return_codes = Vec::with_capacity(subscribe.filters.len());
        let mut wants_centre = false;
        for filter in &subscribe.filters {
            if !topic::site_may_subscribe(&self.site, &filter.path) {
                return_codes.push(SubscribeReasonCode::NotAuthorized);
                continue;
            }
            let granted = if filter.qos == QoS::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let before = self.subscribed.len();
            self.subscribed.retain(|(subscribed, _)| *subscribed != filter.path);
            let is_new = before == self.subscribed.len();
            self.subscribed.push((filter.path.clone(), granted));
            wants_centre |= filter.path == CENTRE
                && match filter.retain_forward_rule {
                    RetainForwardRule::OnEverySubscribe => true,
                    RetainForwardRule::OnNewSubscribe => is_new,
                    RetainForwardRule::Never => false,
                };
            return_codes.push(SubscribeReasonCode::Success(granted));
        }
        out.push(Output::Send(Packet::SubAck(SubAck { pkid: subscribe.pkid, return_codes, properties: None })));
        out.extend(wants_centre.then_some(Output::SendCentre));
    }

    fn on_unsubscribe(&mut self, unsubscribe: &Unsubscribe) -> Output {
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let before = self.subscribed.len();
            self.subscribed.retain(|(subscribed, _)| subscribed != filter);
            reasons.push(match before == self.subscribed.len() {
                true => UnsubAckReason::NoSubscriptionExisted,
                false => UnsubAckReason::Success,
            });
        }
        Output::Send(Packet::UnsubAck(UnsubAck { pkid: unsubscribe.pkid, reasons, properties: None }))
    }
}

/// Only presence is retained: a retained batch would come back to every later subscriber of an outside broker.
pub(super) fn may_retain(leaf: Leaf, retain: bool) -> bool {
    !retain || leaf == Leaf::State
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
