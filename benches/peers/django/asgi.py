"""Rooms by Django Channels, after its tutorial, with the in-memory layer: one process, one thread.

    daphne --bind 127.0.0.1 --port 8000 asgi:application
    uvicorn --host 127.0.0.1 --port 8000 asgi:application
"""

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY="for a benchmark only",
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()


class Member(AsyncWebsocketConsumer):
    async def connect(self):
        self.room = f"room_{self.scope['url_route']['kwargs']['room']}"
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        await self.channel_layer.group_send(self.room, {"type": "room.said", "text": text_data})

    async def room_said(self, event):
        await self.send(text_data=event["text"])


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data)


application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                path("ws/<slug:room>/", Member.as_asgi()),
                path("echo/", Echo.as_asgi()),
            ]
        )
    }
)
