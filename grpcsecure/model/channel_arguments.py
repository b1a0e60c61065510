"""The channel arguments of gRPC core by name, as far as a server can be given them.

The names and types are those of `channel_arg_names.h`:
https://github.com/grpc/grpc/blob/master/include/grpc/impl/channel_arg_names.h
gRPC core ignores a name that it does not know, and logs a value of the wrong type.
"""

from __future__ import annotations

__all__ = ["CLIENT_ARGUMENTS", "INTEGERS", "OBJECTS", "TEXTS"]


def _names(text: str) -> frozenset[str]:
    return frozenset(f"grpc.{name}" for name in text.split())


#: Arguments of servers, or of both sides, that take a whole number.
INTEGERS = _names(
    "absolute_max_metadata_size census compression_enabled_algorithms_bitset"
    " default_compression_algorithm default_compression_level dscp enable_channelz"
    " expand_wildcard_addrs experimental.http2.enable_preferred_frame_size"
    " experimental.server_config_change_drain_grace_time_ms"
    " experimental.tcp_max_read_chunk_size experimental.tcp_min_read_chunk_size"
    " experimental.tcp_read_chunk_size experimental.tcp_tx_zerocopy_enabled"
    " experimental.tcp_tx_zerocopy_max_simultaneous_sends"
    " experimental.tcp_tx_zerocopy_send_bytes_threshold http.overload_protection"
    " http.tarpit http.tarpit_max_duration_ms http.tarpit_min_duration_ms"
    " http2.ack_pings http2.bdp_probe http2.hpack_table_size.decoder"
    " http2.hpack_table_size.encoder http2.initial_sequence_number"
    " http2.lookahead_bytes http2.max_frame_size http2.max_inflight_pings"
    " http2.max_ping_strikes http2.max_pings_without_data http2.max_requests_per_read"
    " http2.min_ping_interval_without_data_ms http2.min_time_between_pings_ms"
    " http2.ping_on_rst_stream_percent http2.ping_timeout_ms http2.settings_timeout"
    " http2.true_binary http2.write_buffer_size keepalive_permit_without_calls"
    " keepalive_time_ms keepalive_timeout_ms loadreporting"
    " max_allowed_incoming_connections max_channel_trace_event_memory_per_node"
    " max_concurrent_streams max_connection_age_grace_ms max_connection_age_ms"
    " max_connection_idle_ms max_metadata_size max_receive_message_length"
    " max_send_message_length minimal_stack per_message_compression"
    " per_message_decompression secure_endpoint.decryption_offload_threshold"
    " secure_endpoint.encryption_offload_max_buffered_writes"
    " secure_endpoint.encryption_offload_threshold security_frame_allowed"
    " server.max_pending_requests server.max_pending_requests_hard_limit"
    " server_call_metric_recording server_handshake_timeout_ms"
    " server_max_unrequested_time_in_server so_reuseport tcp_receive_buffer_size"
    " tcp_tracing_enabled tsi.max_frame_size"
)

#: Arguments of servers, or of both sides, that take text.
TEXTS = _names("http2_scheme optimization_target preferred_transport_protocols")

#: Arguments that take an object of C, which no config can hold.
OBJECTS = _names(
    "authorization_policy_provider event_engine_use_memory_allocator_factory"
    " experimental.event_engine experimental.stats_plugins resource_quota"
    " server_config_fetcher socket_factory socket_mutator ssl_session_cache"
)

#: Arguments that only clients read.
CLIENT_ARGUMENTS = _names(
    "address_http_proxy address_http_proxy_enabled_addresses channel_id"
    " channel_pooling_domain client_idle_timeout_ms default_authority"
    " disable_client_authority_filter dns_ares_query_timeout dns_enable_srv_queries"
    " dns_min_time_between_resolutions_ms enable_http_proxy enable_retries"
    " experimental.enable_hedging experimental.grpclb_channel_args"
    " grpclb_call_timeout_ms grpclb_fallback_timeout_ms"
    " happy_eyeballs_connection_attempt_delay_ms http_proxy inhibit_health_checking"
    " initial_reconnect_backoff_ms lb.ring_hash.ring_size_cap lb_policy_name"
    " max_connections_per_subchannel_cap max_reconnect_backoff_ms"
    " min_reconnect_backoff_ms per_rpc_retry_buffer_size primary_user_agent"
    " priority_failover_timeout_ms secondary_user_agent service_config"
    " service_config_disable_resolution ssl_target_name_override surface_user_agent"
    " use_local_subchannel_pool"
)
