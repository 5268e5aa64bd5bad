// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.bench.tune.FrontRecord;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/// Which settings of a tuned front are swapped in.
class FrontSettingsTest {
  private static FrontRecord record(
      String spec, String mask, double low, double high, @Nullable Double seconds) {
    return new FrontRecord(
        FrontRecord.KIND,
        1,
        "captured",
        null,
        512,
        8,
        64,
        mask,
        2,
        7,
        spec.split(":")[0],
        spec,
        List.of(0.1, 0.05, 0.5),
        1e9,
        new Interval(low, low, high),
        null,
        List.of(low),
        null,
        512,
        seconds,
        "cpu",
        "commit");
  }

  /// Within 0.05 only the slow window is; within 0.1 the quick pools are, by their whole interval;
  /// within 0.5 too, because what is quicker still was never timed, has a mask or is not within.
  @Test
  void theQuickestWithinEveryPermittedErrorIsTaken() {
    List<FrontRecord> records =
        List.of(
            record("longformer:window=64", "none", 0.04, 0.05, 3.0),
            record("nystromformer:landmarks=32", "none", 0.07, 0.1, 2.0),
            record("topk:top_k=8", "none", 0.04, 0.6, 1.0),
            record("bigbird", "none", 0.01, 0.02, null),
            record("longformer:window=16", "causal", 0.01, 0.02, 0.5));
    assertEquals(
        List.of("longformer:window=64", "nystromformer:landmarks=32"),
        FrontSettings.of(records, "none"));
    assertEquals(List.of(), FrontSettings.of(records.subList(4, 5), "none"));
    assertEquals(List.of("longformer:window=16"), FrontSettings.of(records, "causal"));
  }
}
