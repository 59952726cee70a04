"""files.*: what the bot uploads. A file is private until a post of the bot holds its permalink.

Not here: sharing a file by files.completeUploadExternal itself, and the time that Slack takes until a file shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.slack.limits import Refused
from tests.fakes.slack.shapes import file_json
from tests.fakes.slack.web_api import method
from tests.fakes.slack.workspace import File, Json

if TYPE_CHECKING:
    from tests.fakes.slack.server import SlackServer


@dataclass(frozen=True)
class Upload:
    file_id: str
    name: str
    length: int
    content: bytes | None = None


@method("files.getUploadURLExternal", "files:write", required="filename length")
def get_upload_url(server: SlackServer, arguments: Json) -> Json:
    upload = Upload(server.workspace.new_id("F"), str(arguments["filename"]), int(arguments["length"]))
    server.uploads[upload.file_id] = upload
    return {"upload_url": f"{server.workspace.base_url}/upload/v1/{upload.file_id}", "file_id": upload.file_id}


@method("files.completeUploadExternal", "files:write", required="files")
def complete_upload(server: SlackServer, arguments: Json) -> Json:
    files = []
    for named in arguments["files"]:
        upload = server.uploads.pop(str(named.get("id")), None)
        if upload is None or upload.content is None:
            raise Refused("file_not_found")
        bot = server.workspace.bot.id
        file = File(upload.file_id, upload.name, upload.content, "text/plain", bot, int(server.clock()))
        server.workspace.files[file.id] = file
        files.append({"id": file.id, "title": str(named.get("title") or file.name)})
    return {"files": files}


@method("files.info", "files:read", required="file")
def file_info(server: SlackServer, arguments: Json) -> Json:
    file = server.workspace.files.get(str(arguments["file"]))
    if file is None:
        raise Refused("file_not_found")
    if file.deleted:
        raise Refused("file_deleted")
    return {"file": file_json(server.workspace, file), "comments": []}
