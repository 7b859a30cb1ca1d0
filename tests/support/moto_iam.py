"""moto with IAM switched on: one user for each set of rights.

Unchecked requests make the buckets and the users; from then on every request is checked against its user's policy.
Writes the access keys by user as JSON to its second argument, then prints the line with the port.
"""

import json
import os
import sys
import threading

import boto3
from moto import settings
from moto.server import ThreadedMotoServer

RIGHTS = {
    "nobody": [],
    "lister": ["s3:ListBucket"],
    "reader": ["s3:ListBucket", "s3:GetObject"],
    "writer": ["s3:ListBucket", "s3:GetObject", "s3:PutObject"],
    "owner": ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
}

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
how = {
    "endpoint_url": f"http://127.0.0.1:{port}",
    "region_name": "us-east-1",
    "aws_access_key_id": "k",
    "aws_secret_access_key": "s",
}
s3, iam = boto3.client("s3", **how), boto3.client("iam", **how)
for bucket in ("archive", "tables"):
    s3.create_bucket(Bucket=bucket)
root = sys.argv[1]
for folder, _, names in os.walk(root):
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as body:
            s3.put_object(Bucket="archive", Key="blood/" + os.path.relpath(path, root), Body=body.read())
s3.put_object(Bucket="tables", Key="probed/_t3b/probe/passed.json", Body=b"{}")
keys = {}
for user, actions in RIGHTS.items():
    iam.create_user(UserName=user)
    if actions:
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=user, PolicyName="rights", PolicyDocument=policy)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    keys[user] = [key["AccessKeyId"], key["SecretAccessKey"]]
settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
with open(sys.argv[2], "w") as out:
    json.dump(keys, out)
print(f"Running on http://127.0.0.1:{port}", flush=True)
threading.Event().wait()
