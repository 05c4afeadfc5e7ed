//! Asking the controller, which lives on shard 0.

use std::rc::Rc;

use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::{ApiError, Command, Reply};
use slipring_protocol::error_code::ErrorCode;

use crate::runtime::mailbox::ShardId;
use crate::shard::Shard;
use crate::shard::message::{ShardReply, ShardRequest};

/// Has the controller execute a command. `None` when the broker is stopping.
pub(super) async fn execute(shard: &Rc<Shard>, command: Command) -> Option<Reply> {
    match shard.call(ShardId(0), ShardRequest::Control(Box::new(command))).await {
        ShardReply::Control(reply) => reply.map(|reply| *reply),
        _ => unreachable!("commands are answered with replies"),
    }
}

/// What a request hears whose command comes too late.
pub(super) fn stopping() -> ApiError {
    ApiError::bare(ErrorCode::NotController)
}

/// The message of an error as the wire has it: the error's own, or what the code says.
pub(super) fn message(error: &ApiError) -> Option<StrBytes> {
    Some(error.message.as_ref().map_or_else(
        || StrBytes::from_static_str(error.code.message()),
        |message| StrBytes::from_string(message.clone()),
    ))
}
