"""Sends a long text as one streamed message, which may hold more blocks than a post.

A stream starts without metadata and gets our key when it is stopped. A stream without a key was abandoned by a dead
process, and is deleted before the text is sent again. An open stream must be stopped before it can be deleted.

Blocks are sent as `blocks` chunks, as literal as in a post. They are never sent as `markdown_text`, in which a
`<!channel>` by the model would be live. Slack documents a limit of 50 blocks in chunks (it drops the rest) and of 50
more in the call that stops the stream. It does not document the limit of the text; about 12,000 characters of Markdown
were measured. If Slack refuses a chunk, the stream ends with what it holds, and the caller posts the rest.

Sources: docs.slack.dev/reference/methods/chat.startStream, chat.appendStream and chat.stopStream. Measured by others:
the limit above (github.com/CopilotKit/CopilotKit/pull/6244), and that Slack itself ends a stream after five minutes
(github.com/slackapi/python-slack-sdk/issues/1859).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.slack.blocks import Post
from channels.slack.layout import MESSAGE_WEIGHT_MAX, Block, weight
from channels.slack.marks import mark
from channels.slack.posts import POSTS_MAX
from channels.slack.refusals import code_of, is_refusal

log = structlog.get_logger(__name__)

BLOCKS_MAX = 50
"""Limit of all chunks of a stream together, and again of the call that stops it."""

FEEDBACK = "context_actions"
"""The block of feedback buttons, which belongs below everything else: the call that stops the stream has it."""

_OVER = {"message_not_found", "message_not_in_streaming_state", "stopped_by_user"}
_TOO_MUCH = {"msg_blocks_too_long", "msg_blocks_too_many", "msg_too_long"}


@dataclass(frozen=True, slots=True)
class Reader:
    """The recipient of a stream, who sees it grow. Others in the channel see it when it is complete."""

    team: str
    user: str
    session: str | None = None
    """The status of the thread's agent session after the stream; None: `active`."""


class Streams:
    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._weight_max = POSTS_MAX * MESSAGE_WEIGHT_MAX
        """Limit of one stream, lowered whenever Slack refuses a stream as too long."""

    async def send(
        self, channel: str, thread: str, posts: Sequence[Post], reader: Reader, *, key: str
    ) -> dict[int, str]:
        """Send as many of these posts as possible as one message. Returns the ts for the index of each post sent.

        Returns nothing if a stream would hold only one post, or if Slack refuses it. Raises SlackApiError for other
        failures, which may leave an abandoned or a complete stream behind.
        """
        chunks, closing = _room(posts, self._weight_max)
        if chunks + closing < 2:
            return {}
        try:
            begun = await self._client.chat_startStream(
                channel=channel,
                thread_ts=thread,
                recipient_team_id=reader.team,
                recipient_user_id=reader.user,
                chunks=_chunks(posts[0]),
            )
        except SlackApiError as error:
            self._refused(error, posts[:1])
            return {}
        ts = str(begun["ts"])
        held = 1
        try:
            for post in posts[1:chunks]:
                await self._client.chat_appendStream(channel=channel, ts=ts, chunks=_chunks(post))
                held += 1
        except SlackApiError as error:
            self._refused(error, posts[: held + 1])
            closing = 0
        for more in (closing, 0) if closing else (0,):
            try:
                await self._client.chat_stopStream(
                    channel=channel,
                    ts=ts,
                    blocks=[*_blocks(posts[held : held + more]), *_last_line(posts, held)] or None,
                    metadata=mark(key, 0, holds=held + more),
                    session_status=reader.session,
                )
            except SlackApiError as error:
                self._refused(error, posts[: held + more])
            else:
                return dict.fromkeys(range(held + more), ts)
        await self.delete(channel, ts)
        return {}

    async def delete(self, channel: str, ts: str) -> None:
        """Delete a stream, open or not. Refusals are only logged, so that the text is sent all the same."""
        for call in (self._client.chat_stopStream, self._client.chat_delete):
            try:
                await call(channel=channel, ts=ts)
            except SlackApiError as error:
                if not is_refusal(error):
                    raise
                if code_of(error) not in _OVER:
                    log.warning("stream_not_taken_away", channel=channel, ts=ts, error=code_of(error))

    def _refused(self, error: SlackApiError, posts: Sequence[Post]) -> None:
        """Log a refusal; any other error is raised again. `posts`: the content of the refused stream."""
        if not is_refusal(error):
            raise error
        log.info("stream_refused", error=code_of(error))
        if code_of(error) in _TOO_MUCH:
            self._weight_max = min(self._weight_max, _weight(posts) - 1)


def _room(posts: Sequence[Post], weight_max: int) -> tuple[int, int]:
    """How many posts fit into chunks, and how many more into the call that stops the stream.

    Nothing may follow a table, because Slack allows one table per message.
    """
    chunks = closing = 0
    for end, post in enumerate(posts, 1):
        last = posts[chunks:end]
        if _weight(posts[:end]) > weight_max:
            break
        if len(_blocks(posts[:end])) <= BLOCKS_MAX:
            chunks += 1
        elif len(_blocks(last)) <= BLOCKS_MAX and _weight(last) <= MESSAGE_WEIGHT_MAX:
            closing += 1
        else:
            break
        if post.blocks[-1]["type"] == "table":
            break
    return chunks, closing


def _blocks(posts: Sequence[Post]) -> list[Block]:
    return [block for post in posts for block in post.blocks]


def _weight(posts: Sequence[Post]) -> int:
    return sum(map(weight, _blocks(posts)))


def _chunks(post: Post) -> list[Block]:
    return [{"type": "blocks", "blocks": [block for block in post.blocks if block["type"] != FEEDBACK]}]


def _last_line(posts: Sequence[Post], held: int) -> list[Block]:
    """The buttons of a last post whose text went into a chunk."""
    return [block for block in posts[-1].blocks if block["type"] == FEEDBACK] if held == len(posts) else []
