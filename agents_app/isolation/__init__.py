"""Processes for agents' code: started by a forkserver, confined, and spoken to by frames over a socket.

`processes` and `probe` are the server's side; `forkserver`, `sandbox` and `seccomp` run on the other one,
where neither Django nor a setting is. What the SDK does there is in `agents_app.sdk` (`probing`, `isolated`).
"""
