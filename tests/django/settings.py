"""A Channels project without a database; its channel layer comes from the environment, as JSON."""

import json
import os

SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["daphne", "channels"]
ASGI_APPLICATION = "asgi.application"
USE_TZ = True
CHANNEL_LAYERS = {"default": json.loads(os.environ["CHANNEL_LAYER"])}
