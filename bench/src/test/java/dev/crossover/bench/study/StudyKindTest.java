// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.jmh.JmhForks;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.models.layer.LayerCatalogue;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.openjdk.jmh.annotations.Benchmark;

/// What studies say of themselves.
class StudyKindTest {
  /// The name is a text, which no compiler reads.
  @ParameterizedTest
  @EnumSource(Study.class)
  void benchmarkExistsAndTimesOneThing(Study study) throws ClassNotFoundException {
    Class<?> type = Class.forName(JmhForks.class.getPackageName() + "." + study.kind().benchmark());
    long timed =
        Arrays.stream(type.getMethods())
            .filter(method -> method.isAnnotationPresent(Benchmark.class))
            .count();
    assertEquals(1, timed, type.getName());
  }

  @ParameterizedTest
  @CsvSource({
    "FORWARD,tiled,''",
    "FORWARD,tiled:store=f16,store and cache",
    "DECODE,tiled:store=f16,''",
    "DECODE,nystromformer,decoding must not",
    "TRAINING,tiled,''",
    "TRAINING,layer/tiled,no gradients"
  })
  void refusalsNameTheReason(Study study, String spec, String reason) {
    String refusal = study.kind().refusal(spec, LayerCatalogue.parse(spec));
    assertTrue(reason.isEmpty() ? refusal.isEmpty() : refusal.contains(reason), refusal);
  }

  /// A token sees twice the keys that a position sees on average; without a cache it recomputes
  /// all.
  @Test
  void aTokenCostsItsShareOfTheSequence() {
    StudyKind decode = Study.DECODE.kind();
    assertEquals(20, decode.flops(LayerCatalogue.parse("tiled"), 100, 1000, 0));
    assertEquals(1000, decode.flops(LayerCatalogue.parse("materialised"), 100, 1000, 0));
    assertEquals(1500, Study.TRAINING.kind().flops(LayerCatalogue.parse("tiled"), 9, 1000, 500));
  }
}
