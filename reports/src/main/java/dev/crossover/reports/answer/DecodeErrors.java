// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Study;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Errors for decoding records that have none of their own.
///
/// Decoding token by token gives the outputs of the causal forward pass (the contract tests hold
/// every mechanism to it), so a decoding record takes the error of the causal forward pass of the
/// same mechanism, tensors and length, where it was measured in the same environment.
final class DecodeErrors {
  private DecodeErrors() {}

  static List<ResultRecord> fill(List<ResultRecord> records) {
    Map<String, ErrorNorms> causal = new HashMap<>();
    for (ResultRecord record : records) {
      if (record.study() == Study.FORWARD
          && record.mask().equals("causal")
          && record.error() != null) {
        causal.put(key(record), record.error());
      }
    }
    return records.stream().map(r -> filled(r, causal)).toList();
  }

  private static ResultRecord filled(ResultRecord r, Map<String, ErrorNorms> causal) {
    boolean open = r.study() == Study.DECODE && r.error() == null;
    ErrorNorms error = open ? causal.get(key(r)) : null;
    return error == null ? r : with(r, error);
  }

  private static String key(ResultRecord r) {
    ResultRecord.Shape s = r.shape();
    return String.join(
        "|",
        r.spec(),
        r.input().source(),
        Long.toString(r.seed()),
        List.of(s.batch(), s.heads(), s.kvHeads(), s.n(), s.headDim(), s.valueDim()).toString(),
        r.environment().key());
  }

  private static ResultRecord with(ResultRecord r, ErrorNorms error) {
    return new ResultRecord(
        r.schema(),
        r.study(),
        r.mechanism(),
        r.spec(),
        r.parameters(),
        r.approximates(),
        r.shape(),
        r.mask(),
        r.input(),
        r.threads(),
        r.seed(),
        r.status(),
        r.reason(),
        r.time(),
        r.memory(),
        error,
        r.counted(),
        r.peak(),
        r.environment());
  }
}
