// Node, Bun and Deno, with the AWS SDK beside the library.
import { S3Client } from "@aws-sdk/client-s3";
import { start } from "../suite/index.js";

await start(process.argv[2] as string, (config) => new S3Client(config));
