import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDevServer, type DevServer } from "bucketcache/dev";
import { afterEach, beforeEach, describe, expect, inject, test } from "vitest";
import { runAws, runPython } from "../support/python.js";

const MIB = 1024 * 1024;

describe.each(["memory", "a folder"])("the dev server, keeping data in %s,", (kept) => {
  let folder: string;
  let server: DevServer;
  let env: Record<string, string>;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "bucketcache-peers-"));
    server = await startDevServer(kept === "memory" ? {} : { directory: join(folder, "data") });
    env = {
      AWS_ACCESS_KEY_ID: server.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: server.credentials.secretAccessKey,
      AWS_DEFAULT_REGION: server.region,
      AWS_ENDPOINT_URL: server.endpoint,
      AWS_CONFIG_FILE: join(folder, "config"),
      AWS_SHARED_CREDENTIALS_FILE: join(folder, "credentials"),
      AWS_EC2_METADATA_DISABLED: "true",
    };
  });

  afterEach(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs a script that has boto3's client as `s3`; what it asserts is what it is about. */
  async function boto(script: string): Promise<string> {
    const prelude = `
import boto3, hashlib, io, urllib.request, urllib.error
from botocore.exceptions import ClientError
from boto3.s3.transfer import TransferConfig
s3 = boto3.client("s3")
B = "bucketcache"
def code(call, **arguments):
    try:
        call(Bucket=B, **arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
`;
    return runPython(inject("python"), prelude + script, { env });
  }

  /** Runs commands of the AWS command line, in one process since each start takes seconds; resolves with what they print. */
  async function aws(...commands: string[][]): Promise<string> {
    const script = `
import json, sys
from awscli.clidriver import create_clidriver
for command in json.loads(sys.argv[1]):
    status = create_clidriver().main(command)
    if status != 0:
        sys.exit(f"{command} ended with {status}")`;
    return runPython(inject("python"), script, { args: [JSON.stringify(commands)], env: { ...env, AWS_PAGER: "" } });
  }

  test("serves boto3: objects, odd keys, metadata, ranges, conditions, batches, pages", async () => {
    const out = await boto(`
keys = ["a", "a b+c%20", "käse/日本語", "a//b", "../x", "line\\nbreak", "<&>", "trailing/", "x" * 1024]
for key in keys:
    s3.put_object(Bucket=B, Key=key, Body=key.encode(), Metadata={"expires_at": "1.5"}, ContentType="text/plain")
for key in keys:
    got = s3.get_object(Bucket=B, Key=key)
    assert got["Body"].read() == key.encode(), key
    assert got["Metadata"] == {"expires_at": "1.5"} and got["ContentType"] == "text/plain"
listed = [o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=B, PaginationConfig={"PageSize": 2}) for o in page["Contents"]]
assert listed == sorted(keys, key=lambda k: k.encode()), listed
first = [o["Key"] for page in s3.get_paginator("list_objects").paginate(Bucket=B, PaginationConfig={"PageSize": 2}) for o in page["Contents"]]
assert first == listed, first
rolled = s3.list_objects_v2(Bucket=B, Delimiter="/")
assert [p["Prefix"] for p in rolled["CommonPrefixes"]] == ["../", "a/", "käse/", "trailing/"], rolled

assert s3.get_object(Bucket=B, Key="a b+c%20", Range="bytes=2-4")["Body"].read() == b"b+c"
tag = s3.head_object(Bucket=B, Key="a")["ETag"]
assert code(s3.get_object, Key="a", IfNoneMatch=tag) == ("304", 304)
assert code(s3.put_object, Key="a", IfNoneMatch="*") == ("PreconditionFailed", 412)
assert code(s3.delete_object, Key="a", IfMatch='"x"') == ("PreconditionFailed", 412)
assert code(s3.get_object, Key="absent") == ("NoSuchKey", 404)
assert code(s3.head_object, Key="absent") == ("404", 404)
s3.copy_object(Bucket=B, Key="copy", CopySource={"Bucket": B, "Key": "käse/日本語"})
assert s3.get_object(Bucket=B, Key="copy")["Body"].read().decode() == "käse/日本語"
gone = s3.delete_objects(Bucket=B, Delete={"Objects": [{"Key": key} for key in keys]})
assert sorted(d["Key"] for d in gone["Deleted"]) == sorted(keys) and "Errors" not in gone
assert [o["Key"] for o in s3.list_objects_v2(Bucket=B)["Contents"]] == ["copy"]
print("done")`);
    expect(out).toBe("done\n");
  });

  test("serves boto3: transfers in parts, checksums, uploads that are aborted", async () => {
    const out = await boto(`
data = hashlib.shake_256(b"seed").digest(13 * 1024 * 1024 + 7)
s3.upload_fileobj(io.BytesIO(data), B, "large", ExtraArgs={"Metadata": {"a": "1"}}, Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
head = s3.head_object(Bucket=B, Key="large", ChecksumMode="ENABLED")
assert head["ETag"].endswith('-3"') and head["Metadata"] == {"a": "1"}, head
back = io.BytesIO()
s3.download_fileobj(B, "large", back, Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
assert back.getvalue() == data
for algorithm in ["CRC32", "SHA1", "SHA256"]:
    put = s3.put_object(Bucket=B, Key="sum", Body=b"value", ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=B, Key="sum", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"value" and got["Checksum" + algorithm] == put["Checksum" + algorithm]
assert code(s3.put_object, Key="sum", Body=b"value", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==") == ("BadDigest", 400)
upload = s3.create_multipart_upload(Bucket=B, Key="u")["UploadId"]
s3.upload_part(Bucket=B, Key="u", UploadId=upload, PartNumber=1, Body=b"part")
assert [p["Size"] for p in s3.list_parts(Bucket=B, Key="u", UploadId=upload)["Parts"]] == [4]
assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=B)["Uploads"]] == [upload]
s3.abort_multipart_upload(Bucket=B, Key="u", UploadId=upload)
assert "Uploads" not in s3.list_multipart_uploads(Bucket=B)
print("done")`);
    expect(out).toBe("done\n");
  });

  test("serves boto3: presigned URLs, buckets, CORS", async () => {
    const out = await boto(`
from botocore.config import Config
signer = boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
def send(url, method="GET", data=None, headers={}):
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
where = {"Bucket": B, "Key": "a b/ü+"}
typed = {"Content-Type": "text/plain"}
put = signer.generate_presigned_url("put_object", Params={**where, "ContentType": "text/plain"})
assert send(put, "PUT", b"value", typed)[0] == 200
assert send(put, "PUT", b"value", {"Content-Type": "text/html"})[0] == 403
assert send(put, "PUT", b"value", {**typed, "x-amz-meta-a": "1"})[0] == 403
get = signer.generate_presigned_url("get_object", Params={**where, "ResponseContentType": "x/y"})
assert send(get) == (200, b"value")
assert send(get.replace("x%2Fy", "x%2Fz"))[0] == 403
s3.create_bucket(Bucket="another")
assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["another", B]
assert s3.get_bucket_location(Bucket=B)["LocationConstraint"] is None
rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "ExposeHeaders": ["ETag"]}
s3.put_bucket_cors(Bucket=B, CORSConfiguration={"CORSRules": [rule]})
assert s3.get_bucket_cors(Bucket=B)["CORSRules"] == [rule]
s3.delete_bucket(Bucket="another")
print("done")`);
    expect(out).toBe("done\n");
  });

  test("serves the Python cache that wrote the first buckets", async () => {
    const out = await boto(`
from etl_pycache.s3_cache import S3Cache
cache = S3Cache(B, client=s3)
cache.set("text", "käse" * 1000, ttl_seconds=60, compress=True)
cache.set("data", {"a": [1, 2]})
assert cache.get("text") == "käse" * 1000 and cache.get("data") == {"a": [1, 2]}
assert cache.get("absent") is None
cache.delete("data")
assert cache.get("data") is None
print("done")`);
    expect(out).toBe("done\n");
  });

  test("serves the AWS command line: copies of files and folders, lists, moves, removals", async () => {
    const large = randomBytes(17 * MIB);
    const file = join(folder, "large file.bin");
    await writeFile(file, large);
    const bucket = "s3://made-here";
    const quiet = "--only-show-errors";
    const out = await aws(
      ["s3", "mb", bucket],
      ["s3", "cp", file, `${bucket}/deep/large file.bin`, quiet],
      ["s3", "cp", `${bucket}/deep/large file.bin`, `${bucket}/copy`, quiet],
      ["s3", "mv", `${bucket}/copy`, `${bucket}/moved`, quiet],
      ["s3", "ls", bucket],
      ["s3", "cp", `${bucket}/moved`, join(folder, "back"), quiet],
      ["s3api", "head-object", "--bucket", "made-here", "--key", "moved"],
      ["s3", "sync", bucket, join(folder, "synced"), quiet],
      ["s3", "rm", bucket, "--recursive", quiet],
      ["s3", "rb", bucket],
      ["s3", "ls"],
    );
    expect(out).toMatch(/PRE deep\/\n.* 17825792 moved\n/);
    expect(out).toContain('"ContentLength": 17825792');
    expect(out).toMatch(/remove_bucket: made-here\n.* bucketcache\n$/);
    expect((await readFile(join(folder, "back"))).equals(large)).toBe(true);
    expect((await readFile(join(folder, "synced", "deep", "large file.bin"))).equals(large)).toBe(true);
  });

  test("streams to and from the AWS command line", async () => {
    await runAws(inject("python"), ["s3", "cp", "-", "s3://bucketcache/piped"], { env, input: "from a pipe" });
    expect(await aws(["s3", "cp", "s3://bucketcache/piped", "-"])).toBe("from a pipe");
  });
});
