"""A consumer that does what its client says, and tells it what comes."""

from channels.generic.websocket import AsyncJsonWebsocketConsumer

EDGES = {
    "type": "edges",
    "text": "哈哈",
    "bytes": b"\x00\x7f\x80\xff",
    "low": -(2**63),
    "high": 2**64 - 1,
    "none": None,
    "yes": True,
    "half": 0.5,
    "nested": {"a": {"b": [1, "c", None]}},
}


class PuppetConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.accept()
        await self.send_json({"channel": self.channel_name})

    async def receive_json(self, content):
        event = EDGES if content.get("edges") else content.get("event")
        if "key" in content:  # for what JSON cannot say
            event = {"type": "edges", "nested": {7: "an integer"}}
        if not content.get("bytes", True):
            event = {name: value for name, value in event.items() if name != "bytes"}
        match content["do"]:
            case "join":
                await self.channel_layer.group_add(content["group"], self.channel_name)
            case "leave":
                await self.channel_layer.group_discard(content["group"], self.channel_name)
            case "group_send":
                await self.channel_layer.group_send(content["group"], event)
            case "send":
                await self.channel_layer.send(content["channel"], event)
        await self.send_json({"did": content["do"]})

    async def edges(self, event):
        expected = {name: value for name, value in EDGES.items() if name in event}
        await self.send_json({"edges": event == expected, "event": repr(event)})

    async def numbered(self, event):
        await self.send_json({"n": event["n"]})
