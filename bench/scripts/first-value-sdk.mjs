/** The same with the SDK. */
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";

const { bucket, endpoint, accessKeyId, secretAccessKey } = JSON.parse(process.env.BENCH_PLACE ?? "{}");
const credentials = { accessKeyId, secretAccessKey };
const client = new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true, credentials });
const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: `cache/${process.argv[2]}` }));
const value = await Body?.transformToByteArray();
if (value?.byteLength !== 4096) throw new Error("no value");
const { user, system } = process.cpuUsage();
process.stdout.write(JSON.stringify({ wall: performance.now(), cpu: (user + system) / 1000 }));
client.destroy();
