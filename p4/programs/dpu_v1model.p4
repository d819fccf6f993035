// The packet stage on v1model (BMv2), with P4Runtime packet I/O for replay.
// SPDX-License-Identifier: Apache-2.0
#include <core.p4>
#define V1MODEL_VERSION 20200408
#include <v1model.p4>

#include "../lib/acl.p4"
#include "../lib/classify.p4"
#include "../lib/epoch.p4"
#include "../lib/meter.p4"
#include "../lib/parser.p4"
#include "../lib/programmed.p4"
#include "../lib/reverse.p4"
#include "../lib/rewrite.p4"
#include "../lib/sane.p4"
#include "../lib/steer.p4"
#include "../lib/vip.p4"

control VerifyChecksums(inout headers_t headers, inout meta_t meta) {
    apply {}
}

// A frame from the wire: verdict, reason, group.
control Judge(inout headers_t headers, inout packet_t packet, in error problem) {
    apply {
        Classify.apply(headers, packet, problem);
        if (packet.verdict == 0) {
            Vip.apply(packet);
        }
        if (packet.verdict == 0) {
            Sane.apply(packet);
        }
        if (packet.verdict == 0) {
            Acl.apply(packet);
        }
        if (packet.verdict == 0) {
            Meter.apply(packet);
        }
        if (packet.verdict != 0) {
            return;
        }
        pass_as(packet, REASON_NONE);
        bit<16> bucket;
        if (packet.is_ipv6) {
            hash(bucket, HashAlgorithm.crc32, 16w0, { packet.source, packet.destination,
                 packet.source_port, packet.destination_port }, STEER_BUCKETS);
        } else {
            hash(bucket, HashAlgorithm.crc32, 16w0, { packet.source[31:0], packet.destination[31:0],
                 packet.source_port, packet.destination_port }, STEER_BUCKETS);
        }
        Steer.apply(packet, bucket);
        if (packet.group_port != 0) {
            RewriteDestination.apply(headers, packet.group_port);
        }
    }
}

// A frame from the host always passes; what is an answer of a listener group gets its VIP's port back.
control Answer(inout headers_t headers, inout packet_t packet) {
    apply {
        pass_as(packet, REASON_NONE);
        bit<16> vip_port = packet.source_port;
        if (packet.protocol != 0) {
            Reverse.apply(packet, vip_port);
            RewriteSource.apply(headers, vip_port);
        }
    }
}

control FromPort(inout headers_t headers, inout meta_t meta, inout standard_metadata_t standard) {
    @name(".reasons") @id(0x12000001)
    counter<bit<32>>(REASONS_MAX, CounterType.packets_and_bytes) reasons;

    // What a packet-out asked for: the decision, in front of the frame.
    @hidden
    action answer() {
        headers.answer.setValid();
        headers.answer.verdict = meta.packet.verdict;
        headers.answer.pad = 0;
        headers.answer.reason = meta.packet.reason;
        headers.answer.group = meta.packet.group;
        headers.answer.port = meta.packet.group_port;
        standard.egress_spec = CPU_PORT;
    }

    apply {
        if (headers.question.isValid()) {
            meta.is_question = 1;
            meta.ingress = headers.question.ingress;
            standard.egress_spec = CPU_PORT;
            exit;
        }
        bit<16> from = meta.is_question == 1 ? meta.ingress : (bit<16>)standard.ingress_port;
        Epoch.apply(meta.packet);
        Programmed.apply();
        if (from == (bit<16>)HOST_PORT) {
            Answer.apply(headers, meta.packet);
            standard.egress_spec = WIRE_PORT;
        } else {
            Judge.apply(headers, meta.packet, standard.parser_error);
            reasons.count((bit<32>)meta.packet.reason);
            standard.egress_spec = HOST_PORT;
        }
        if (meta.is_question == 1) {
            answer();
        } else if (meta.packet.verdict == (bit<8>)VERDICT_DROP) {
            mark_to_drop(standard);
        }
    }
}

// A packet-out comes round again without its header: meters and counters then see the frame's own bytes.
control ToPort(inout headers_t headers, inout meta_t meta, inout standard_metadata_t standard) {
    apply {
        if (headers.question.isValid()) {
            headers.question.setInvalid();
            recirculate_preserving_field_list(1);
        }
    }
}

control ComputeChecksums(inout headers_t headers, inout meta_t meta) {
    apply {}
}

control Deparse(packet_out frame, in headers_t headers) {
    apply {
        frame.emit(headers.answer);
        frame.emit(headers.question);
        frame.emit(headers.ethernet);
        frame.emit(headers.tags);
        frame.emit(headers.ipv4);
        frame.emit(headers.ipv4_options);
        frame.emit(headers.ipv6);
        frame.emit(headers.extensions);
        frame.emit(headers.tcp);
        frame.emit(headers.udp);
    }
}

V1Switch(Parse(), VerifyChecksums(), FromPort(), ToPort(), ComputeChecksums(), Deparse()) main;
