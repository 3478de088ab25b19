"""The push with Samba's commands: for each host of standard input (name, address, port) smbclient puts the payload into ADMIN$, then `net rpc`
reads a registry value and creates, starts, queries and deletes a service. Arguments: payload file, credentials file (smbclient -A), how many
hosts at once. It prints one line of JSON: how many were right, and the CPU seconds of all those commands."""
import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

payload, credentials, width = sys.argv[1], sys.argv[2], int(sys.argv[3])
VALUE = ['rpc', 'registry', 'getvalue', 'HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion', 'ProductName']
STEPS = [
    (['rpc', 'service', 'create', 'peer', 'peer', 'C:\\Windows\\peer\\setup.exe'], 'uccessfully created'),
    (['rpc', 'service', 'start', 'peer'], 'uccessfully started'),
    (['rpc', 'service', 'status', 'peer'], 'peer service is'),
    (['rpc', 'service', 'delete', 'peer'], 'uccessfully deleted'),
]


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def push(host):
    _, address, port = host
    common = ['-s', '/dev/null', '-A', credentials, '-p', port]
    put = run(['smbclient', f'//{address}/ADMIN$', *common, '-c', f'mkdir peer; put {payload} peer\\setup.exe'])
    if 'putting file' not in put or 'NT_STATUS' in put:
        return f'{address} put: {put.strip()}'
    value = run(['net', *VALUE, *common, '-S', address])
    if 'Windows' not in value:
        return f'{address} registry: {value.strip()}'
    for step, expected in STEPS:
        said = run(['net', *step, *common, '-S', address])
        if expected not in said:
            return f'{address} {step[2]}: {said.strip()}'
    return None


hosts = [line.split() for line in sys.stdin]
with ThreadPoolExecutor(width) as pool:
    results = list(pool.map(push, hosts))
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
wrong = [result for result in results if result]
print(json.dumps({'right': len(hosts) - len(wrong), 'wrong': wrong[:3], 'cpuSeconds': usage.ru_utime + usage.ru_stime}))
