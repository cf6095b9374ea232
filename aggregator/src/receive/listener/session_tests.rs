//! The protocol of one connection, without a socket.

use rumqttc::{Disconnect, PublishProperties, SubscribeFilter, SubscribeProperties};

use super::*;

const WINDOW: Window = Window { inbound_max: 2, outbound_max: 2 };

fn session() -> Session {
    Session::new(SiteId::new("DC1").unwrap(), WINDOW)
}

fn on(session: &mut Session, packet: Packet) -> Vec<Output> {
    let mut out = Vec::new();
    session.on(packet, &mut out);
    out
}

fn publish(topic: &str, qos: QoS, id: u16) -> Publish {
    let mut publish = Publish::new(topic, qos, "payload", None);
    publish.pkid = id;
    publish
}

fn subscribe(filters: &[(&str, QoS)]) -> Packet {
    let filters = filters.iter().map(|(path, qos)| SubscribeFilter::new(*path, *qos));
    let mut subscribe = Subscribe::new_many(filters, None);
    subscribe.pkid = 1;
    Packet::Subscribe(subscribe)
}

#[test]
fn own_topics_are_delivered_and_others_refused_in_order() {
    let mut session = session();

    let own = on(&mut session, Packet::Publish(publish("docksync/1/DC1/up/batch", QoS::AtLeastOnce, 1)));
    let foreign = on(&mut session, Packet::Publish(publish("docksync/1/DC2/up/batch", QoS::AtLeastOnce, 2)));

    assert_eq!(own, [Output::Deliver { leaf: Leaf::UpBatch, payload: "payload".into(), packet_id: Some(1) }]);
    assert_eq!(foreign, [Output::Refuse { packet_id: 2, reason: PubAckReason::NotAuthorized }]);
}

#[test]
fn one_message_more_than_the_receive_maximum_closes_with_0x93() {
    let mut session = session();
    for id in 1..=2 {
        on(&mut session, Packet::Publish(publish("docksync/1/DC1/up/batch", QoS::AtLeastOnce, id)));
    }

    let third = on(&mut session, Packet::Publish(publish("docksync/1/DC1/up/batch", QoS::AtLeastOnce, 3)));

    assert_eq!(third, [Output::Close(DisconnectReasonCode::ReceiveMaximumExceeded)]);
    session.acknowledge(1, PubAckReason::Success);
    let fourth = on(&mut session, Packet::Publish(publish("docksync/1/DC1/up/batch", QoS::AtLeastOnce, 4)));
    assert_eq!(fourth.len(), 1);
    assert!(matches!(fourth[0], Output::Deliver { packet_id: Some(4), .. }));
}

#[test]
fn what_the_endpoint_does_not_offer_closes_with_its_own_reason() {
    let mut aliased = publish("docksync/1/DC1/up/batch", QoS::AtLeastOnce, 1);
    aliased.properties = Some(PublishProperties { topic_alias: Some(1), ..PublishProperties::default() });
    let mut retained = publish("docksync/1/DC1/up/beat", QoS::AtMostOnce, 0);
    retained.retain = true;
    let mut numbered = Subscribe::new(SubscribeFilter::new(CENTRE, QoS::AtLeastOnce), None);
    numbered.properties = Some(SubscribeProperties { id: Some(1), user_properties: Vec::new() });

    for (packet, reason) in [
        (
            Packet::Publish(publish("docksync/1/DC1/up/batch", QoS::ExactlyOnce, 1)),
            DisconnectReasonCode::QoSNotSupported,
        ),
        (
            Packet::Publish(publish("docksync/1/DC1/up/batch", QoS::AtMostOnce, 0)),
            DisconnectReasonCode::QoSNotSupported,
        ),
        (Packet::Publish(publish("docksync/1/DC2/state", QoS::AtMostOnce, 0)), DisconnectReasonCode::NotAuthorized),
        (Packet::Publish(retained), DisconnectReasonCode::RetainNotSupported),
        (Packet::Publish(aliased), DisconnectReasonCode::TopicAliasInvalid),
        (Packet::Subscribe(numbered), DisconnectReasonCode::SubscriptionIdentifiersNotSupported),
        (Packet::PingResp, DisconnectReasonCode::ProtocolError),
        (Packet::PubAck(PubAck::new(9, None)), DisconnectReasonCode::ProtocolError),
    ] {
        assert_eq!(on(&mut session(), packet.clone()), [Output::Close(reason)], "{packet:?}");
    }
}

#[test]
fn each_filter_gets_its_own_answer() {
    let mut session = session();

    let answers = on(
        &mut session,
        subscribe(&[
            ("docksync/1/DC1/up/mark", QoS::ExactlyOnce),
            ("docksync/1/DC2/up/mark", QoS::AtLeastOnce),
            ("docksync/1/#", QoS::AtLeastOnce),
            (CENTRE, QoS::AtMostOnce),
        ]),
    );

    let return_codes = vec![
        SubscribeReasonCode::Success(QoS::AtLeastOnce),
        SubscribeReasonCode::NotAuthorized,
        SubscribeReasonCode::NotAuthorized,
        SubscribeReasonCode::Success(QoS::AtMostOnce),
    ];
    let expected = SubAck { pkid: 1, return_codes, properties: None };
    assert_eq!(answers, [Output::Send(Packet::SubAck(expected)), Output::SendCentre]);
}

#[test]
fn messages_go_out_only_where_subscribed_and_within_the_window() {
    let mut session = session();
    assert_eq!(session.send(Leaf::UpMark, "mark".into()), None);
    on(&mut session, subscribe(&[("docksync/1/DC1/up/mark", QoS::AtLeastOnce)]));

    for id in 1..=2 {
        assert!(session.can_send());
        let Some(Packet::Publish(sent)) = session.send(Leaf::UpMark, "mark".into()) else { panic!("not sent") };
        assert_eq!((sent.pkid, sent.qos, sent.retain), (id, QoS::AtLeastOnce, false));
    }

    assert!(!session.can_send());
    assert_eq!(on(&mut session, Packet::PubAck(PubAck::new(1, None))), []);
    assert!(session.can_send());
}

#[test]
fn only_a_normal_goodbye_discards_the_will() {
    for (reason, with_will) in [
        (DisconnectReasonCode::NormalDisconnection, false),
        (DisconnectReasonCode::DisconnectWithWillMessage, true),
        (DisconnectReasonCode::UnspecifiedError, true),
    ] {
        let goodbye = Packet::Disconnect(Disconnect::new(reason));
        assert_eq!(on(&mut session(), goodbye), [Output::Leave { with_will }]);
    }
}
