"""The Python seeds at work: each line of input names a job, each line of output is its figures as JSON."""

import json
import os
import resource
import sys
import time

import boto3
from core_aws.decorators.cache_s3_based import cache_s3_based
from etl_pycache.s3_cache import S3Cache

place = json.loads(os.environ["BENCH_PLACE"])
access = {
    "endpoint_url": place["endpoint"],
    "aws_access_key_id": place["accessKeyId"],
    "aws_secret_access_key": place["secretAccessKey"],
    "region_name": "us-east-1",
}
os.environ.update(
    AWS_ENDPOINT_URL=place["endpoint"],
    AWS_ACCESS_KEY_ID=place["accessKeyId"],
    AWS_SECRET_ACCESS_KEY=place["secretAccessKey"],
    AWS_DEFAULT_REGION="us-east-1",
)
cache = S3Cache(place["bucket"], client=boto3.client("s3", **access))
body = os.urandom(4096)
KEYS = [f"python/object-{index}" for index in range(100)]


@cache_s3_based(bucket=place["bucket"], ttl=3600)
def compute(key):
    return {"key": key, "places": [1, 2, 3]}


def get(count):
    for index in range(count):
        assert len(cache.get(KEYS[index % len(KEYS)])) == 4096


def put(count):
    for index in range(count):
        cache.set(KEYS[index % len(KEYS)], body, ttl_seconds=3600)


def hit(count):
    names = [f"place-{index}" for index in range(20)]
    for index in range(count):
        compute(names[index % len(names)])


JOBS = {"get": get, "set": put, "hit": hit}
put(len(KEYS))
hit(20)

for line in sys.stdin:
    order = json.loads(line)
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    JOBS[order["job"]](order["count"])
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"wall": wall * 1000, "cpu": cpu * 1000}), flush=True)
