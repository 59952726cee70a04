"""A person uses what the bot shows: buttons, selects, forms, modals. As payloads: block_actions, view_submission,
view_closed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from tests.fakes.slack.delivery import Delivery
from tests.fakes.slack.effects import Effects
from tests.fakes.slack.inputs import NotPossible, entered, find_element, form_state
from tests.fakes.slack.limits import Refused, check_view
from tests.fakes.slack.shapes import message_json, person_in_payload, team_in_payload
from tests.fakes.slack.views_api import View, open_view, take_response, view_json
from tests.fakes.slack.workspace import Channel, Json, Message, User

if TYPE_CHECKING:
    from tests.fakes.slack.server import SlackServer

DEAD_PAYLOAD = "We had some trouble connecting. Try again?"


class Interactions(Effects):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._entered: dict[tuple[str, str, str], Json] = {}
        """`state.values` by person and message or view, as far as they were touched."""

    async def click(self, user: User | str, shown: Message | View, target: str) -> Delivery:
        """Presses a button by its action id or its text.

        `shown` is what the person sees: a message that was kept may be older than Slack's, as on a slow screen. The
        payload echoes the message as it is now, and fails as in Slack when that is gone.
        """
        block, element = find_element(_blocks(shown), target)
        action: Json = {key: element[key] for key in ("value", "style", "text", "url") if key in element}
        return await self._act(user, shown, block, element, action)

    async def select(self, user: User | str, shown: Message | View, target: str, value: Any) -> Delivery | None:
        """Chooses in a select, checkboxes, date and so on. None: in a form this tells the bot nothing yet."""
        block, element = find_element(_blocks(shown), target)
        state = entered(element, value)
        person = self.workspace.user(user)
        place = ("", shown.id) if isinstance(shown, View) else (shown.channel, shown.ts)
        values = self._entered.setdefault((person.id, *place), {})
        values.setdefault(block["block_id"], {})[element["action_id"]] = state
        if block["type"] == "input" and not block.get("dispatch_action"):
            return None
        return await self._act(user, shown, block, element, state)

    async def submit(self, user: User | str, view: View, values: Json | None = None) -> Delivery:
        """Fills in the form (by action id, block id or label) and presses Submit.

        What the bot answers decides what becomes of the modal: `slack.views` once the delivery is acknowledged.
        """
        now = self._seen(user, view)
        if not now.content.get("submit"):
            raise NotPossible(f"the modal {now.title!r} has no button to submit it")
        person = self.workspace.user(user)
        touched = self._entered.get((person.id, "", view.id), {})
        state = form_state(now.content["blocks"], values or {}, touched)
        payload = self._payload("view_submission", person)
        payload |= {"trigger_id": self.new_trigger(person, now.id), "view": view_json(self._server, now, state)}
        payload |= {"response_urls": []}
        return await self._interact(payload, ("", now.id), accepts=True, then=self._submitted)

    async def close_view(self, user: User | str, view: View, *, all_of_them: bool = False) -> Delivery | None:
        """Presses Cancel, or the cross (`all_of_them`). The bot hears of it when the view says `notify_on_close`."""
        now = self._seen(user, view)
        for each in self.view_stack(now) if all_of_them else [now]:
            self.put_view(replace(each, is_open=False))
        if not now.content.get("notify_on_close"):
            return None
        person = self.workspace.user(user)
        payload = self._payload("view_closed", person)
        payload |= {"view": view_json(self._server, now), "is_cleared": all_of_them}
        return await self._interact(payload, ("", now.id))

    async def use_shortcut(self, user: User | str, message: Message, callback_id: str) -> Delivery:
        """Chooses a message shortcut from the menu of a message."""
        person = self.workspace.user(user)
        payload = self._payload("message_action", person) | self._around_message(person, message)
        del payload["container"], payload["state"]
        payload |= {"callback_id": callback_id, "action_ts": self.workspace.new_ts(), "message_ts": message.ts}
        return await self._interact(payload, (message.channel, message.ts))

    async def command(self, user: User | str, channel: Channel | str, command: str, text: str = "") -> Delivery:
        """A slash command. There are none in threads, as in Slack. An answer in the acknowledgement becomes a message,
        for this person only unless it says `in_channel`."""
        person, place = self.workspace.user(user), self.workspace.channel(channel)
        payload = {
            "token": "verification-token-of-old",
            "team_id": self.workspace.team_id,
            "team_domain": self.workspace.domain,
            "channel_id": place.id,
            "channel_name": place.name,
            "user_id": person.id,
            "user_name": person.name,
            "command": command,
            "text": text,
            "api_app_id": self.workspace.app_id,
            "is_enterprise_install": "false",
            "response_url": self.new_response_url(person, place, ""),
            "trigger_id": self.new_trigger(person),
        }

        def answered(delivery: Delivery, answer: Any) -> None:
            key = payload["response_url"].partition("/actions/")[2]
            said = {"text": answer} if isinstance(answer, str) else answer
            if said:
                try:
                    take_response(self._server, key, said)
                except Refused as refused:
                    delivery.problem = refused.error

        delivery = self.deliveries.begin("slash_commands", payload, accepts_response_payload=True, then=answered)
        await self.changes.wait_for(lambda: delivery.begun, 5.0)
        return delivery

    def _seen(self, user: User | str, view: View) -> View:
        now = self.all_views[view.id]
        if not now.is_open or now.user != self.workspace.user(user).id:
            raise NotPossible(f"the modal {now.title!r} is not on the screen of {user!r}")
        return now

    async def _act(self, user: User | str, shown: Message | View, block: Json, element: Json, extra: Json) -> Delivery:
        if not self.features.interactivity:
            raise NotPossible("interactivity is off: Slack shows a warning sign at the button")
        person = self.workspace.user(user)
        payload = self._payload("block_actions", person)
        if isinstance(shown, View):
            payload |= self._around_view(person, self._seen(person, shown))
        else:
            payload |= self._around_message(person, shown)
        action = {"type": element["type"], "action_id": element["action_id"], "block_id": block["block_id"], **extra}
        payload["actions"] = [action | {"action_ts": self.workspace.new_ts()}]
        about = ("", shown.id) if isinstance(shown, View) else (shown.channel, shown.ts)
        return await self._interact(payload, about)

    def _around_message(self, person: User, shown: Message) -> Json:
        channel = self.workspace.channel(shown.channel)
        now = self.workspace.message(shown.channel, shown.ts)
        if person.id not in channel.members or shown.visible_to not in (None, person.id):
            raise NotPossible(f"{person.name} does not see this message")
        if now is None:
            raise NotPossible("the message was deleted; Slack says that it cannot be found")
        container: Json = {"type": "message", "message_ts": now.ts, "channel_id": channel.id}
        container["is_ephemeral"] = now.visible_to is not None
        if now.thread_ts:
            container["thread_ts"] = now.thread_ts
        around: Json = {
            "container": container,
            "channel": {"id": channel.id, "name": "directmessage" if channel.kind == "im" else channel.name},
            "state": {"values": self._entered.get((person.id, channel.id, now.ts), {})},
            "trigger_id": self.new_trigger(person),
            "response_url": self.new_response_url(person, channel, now.ts),
        }
        # An ephemeral message is not echoed: Slack keeps none.
        return around if now.visible_to else around | {"message": message_json(self.workspace, now, with_metadata=True)}

    def _around_view(self, person: User, view: View) -> Json:
        state = self._entered.get((person.id, "", view.id), {})
        return {
            "container": {"type": "view", "view_id": view.id},
            "view": view_json(self._server, view, state),
            "trigger_id": self.new_trigger(person, view.id),
        }

    def _payload(self, kind: str, person: User) -> Json:
        return {
            "type": kind,
            "team": team_in_payload(self.workspace),
            "user": person_in_payload(self.workspace, person),
            "api_app_id": self.workspace.app_id,
            "token": "verification-token-of-old",
            "enterprise": None,
            "is_enterprise_install": False,
        }

    async def _interact(
        self, payload: Json, about: tuple[str, str], *, accepts: bool = False, then: Any = None
    ) -> Delivery:
        delivery = self.deliveries.begin(
            "interactive", payload, about=about, accepts_response_payload=accepts, then=then
        )
        await self.changes.wait_for(lambda: delivery.begun, 5.0)
        return delivery

    def _submitted(self, delivery: Delivery, answer: Any) -> None:
        view = self.all_views[delivery.payload["view"]["id"]]
        said = answer if isinstance(answer, dict) else {}
        try:
            self._respond(view, said)
        except Refused as refused:
            delivery.problem = f"{refused.error}: {refused.fields.get('errors', '')}"
            self.put_view(replace(view, errors=(("", DEAD_PAYLOAD),)))

    def _respond(self, view: View, said: Json) -> None:
        """https://docs.slack.dev/surfaces/modals, "Sending a response to view submissions"."""
        match said.get("response_action"):
            case None:
                self.put_view(replace(view, is_open=False))
            case "clear":
                for each in self.view_stack(view):
                    self.put_view(replace(each, is_open=False))
            case "errors":
                inputs = {block["block_id"] for block in view.content["blocks"] if block["type"] == "input"}
                errors = said.get("errors") or {}
                if not errors or not errors.keys() <= inputs:
                    raise Refused("invalid_errors", errors=[f"{sorted(errors)} are not all inputs' block ids"])
                self.put_view(replace(view, errors=tuple(errors.items())))
            case "update" | "push" as action:
                check_view(said.get("view"))
                content = {**said["view"], "blocks": list(self.named(said["view"]["blocks"]))}
                if action == "push":
                    open_view(self._server, view.user, content, view)
                else:
                    self.put_view(replace(view, content=content, hash=self.workspace.new_ts(), errors=()))
            case action:
                raise Refused("invalid_response_action", errors=[repr(action)])

    @property
    def _server(self) -> SlackServer:
        return cast("SlackServer", self)  # The only one there is; this class is one part of it.


def _blocks(shown: Message | View) -> list[Json]:
    return list(shown.content["blocks"] if isinstance(shown, View) else shown.blocks)
