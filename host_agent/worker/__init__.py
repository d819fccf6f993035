"""The host worker: takes requests from fast paths over UCX, has an engine answer them, sends the tokens back."""
