//! A session is reached by every thread of its server, and by every server that shares its layer.
