// Sums a JSON report of vitest: prints "PASSED FAILED". A file that could not be loaded has no tests and is one failure.
import { existsSync, readFileSync } from "node:fs";

// A run that could not begin has said why.
if (!existsSync(process.argv[2])) process.exit(1);
const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
const broken = report.testResults.filter(
  ({ status, assertionResults }) => status === "failed" && !assertionResults.some((test) => test.status === "failed"),
);
console.log(report.numPassedTests, report.numFailedTests + broken.length);
for (const { name, message } of broken) console.error(`FAILED to load: ${name}\n${message ?? ""}`);
for (const { name, assertionResults } of report.testResults) {
  for (const { fullName, status } of assertionResults) {
    if (status === "failed") console.error(`FAILED: ${name}: ${fullName}`);
  }
}
