"""Print every TCP frame that went over this host's wire until the standard input ended, as lines of hexadecimal."""

import select
import socket
import sys

IP, TCP, LARGEST = b"\x08\x00", 6, 1 << 17
frames = []
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
print("listening", flush=True)
while sys.stdin not in select.select([wire, sys.stdin], [], [])[0]:
    frame, (device, *_) = wire.recvfrom(LARGEST)
    if device != "lo" and frame[12:14] == IP and frame[23] == TCP:
        frames.append(frame.hex())
print(*frames, sep="\n")
