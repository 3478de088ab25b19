"""The push with impacket: for each host of standard input (name, address, port) log on, put the payload into ADMIN$, read a registry value,
create, start, query and delete a service. The password comes in the environment, the rest as arguments: payload file, threads. It prints one
line of JSON: how many were right, and the CPU seconds of this process."""
import json
import os
import resource
import sys
import threading
from queue import Empty, Queue

from impacket.dcerpc.v5 import rrp, scmr, transport
from impacket.smbconnection import SMBConnection

payload, threads = sys.argv[1], int(sys.argv[2])
user, domain, password = os.environ['BENCH_USER'], os.environ['BENCH_DOMAIN'], os.environ['BENCH_PASSWORD']
hosts: Queue = Queue()
for line in sys.stdin:
    hosts.put(line.split())
right, wrong = [], []


def pipe(connection, name, uuid):
    rpc = transport.SMBTransport(connection.getRemoteHost(), filename=name, smb_connection=connection).get_dce_rpc()
    rpc.connect()
    rpc.bind(uuid)
    return rpc


def push(name, address, port):
    connection = SMBConnection(name, address, sess_port=int(port))
    connection.login(user, password, domain)
    connection.createDirectory('ADMIN$', 'peer')
    with open(payload, 'rb') as file:
        connection.putFile('ADMIN$', 'peer\\setup.exe', file.read)
    registry = pipe(connection, r'\winreg', rrp.MSRPC_UUID_RRP)
    hklm = rrp.hOpenLocalMachine(registry)['phKey']
    key = rrp.hBaseRegOpenKey(registry, hklm, 'SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion')['phkResult']
    _, product = rrp.hBaseRegQueryValue(registry, key, 'ProductName')
    services = pipe(connection, r'\svcctl', scmr.MSRPC_UUID_SCMR)
    manager = scmr.hROpenSCManagerW(services)['lpScHandle']
    made = scmr.hRCreateServiceW(services, manager, 'peer\0', 'peer\0', lpBinaryPathName='C:\\Windows\\peer\\setup.exe\0')
    service = made['lpServiceHandle']
    scmr.hRStartServiceW(services, service)
    state = scmr.hRQueryServiceStatus(services, service)['lpServiceStatus']['dwCurrentState']
    scmr.hRDeleteService(services, service)
    scmr.hRCloseServiceHandle(services, service)
    connection.logoff()
    if 'Windows' not in product or state not in (scmr.SERVICE_START_PENDING, scmr.SERVICE_RUNNING):
        raise RuntimeError(f'{product} {state}')


def work():
    while True:
        try:
            host = hosts.get_nowait()
        except Empty:
            return
        try:
            push(*host)
            right.append(host[0])
        except Exception as error:  # whatever a peer's library throws counts as a host that was not done
            wrong.append(f'{host[0]}: {error}')


running = [threading.Thread(target=work) for _ in range(threads)]
for thread in running:
    thread.start()
for thread in running:
    thread.join()
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({'right': len(right), 'wrong': wrong[:3], 'cpuSeconds': usage.ru_utime + usage.ru_stime}))
