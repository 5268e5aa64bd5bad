// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.jmh.JmhForks;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Sweep.Effort;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Multi-head layers in a sweep.
class LayerSweepTest {
  private static final int N = 48;

  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource({
    "'layer/longformer:window=7,dilation=1',layer/longformer:window=7",
    "layer/luna,layer/luna",
    "layer/lstm,layer/lstm",
    "layer/gated_convolution:width=2,layer/gated_convolution",
    "layer/tiled,layer/tiled"
  })
  void layerIsWrittenInItsShortestForm(String typed, String shortest) {
    List<Point> points = sweep(List.of(typed), "causal").points();
    assertEquals(1, points.size());
    String spec = points.getFirst().spec();
    assertEquals(spec, sweep(List.of(spec), "causal").points().getFirst().spec());
    assertEquals(shortest, spec);
  }

  /// Around a window that covers the sequence, around all keys and around exact attention itself
  /// the layer is the exact layer: what is left is rounding, well below 1e-4 of the output for sums
  /// of 48 float32 products of order one.
  @ParameterizedTest
  @CsvSource({
    "layer/longformer:window=48",
    "layer/tiled",
    "layer/materialised",
    "layer/topk:top_k=48"
  })
  void layerAroundAnExactCaseIsTheExactLayer(String spec) throws IOException {
    for (String mask : List.of("none", "causal")) {
      assertTrue(error(spec, mask) < 1e-4, spec + " " + mask + " " + error(spec, mask));
    }
  }

  @Test
  void layerThatApproximatesShowsItsError() throws IOException {
    double narrow = error("layer/longformer:window=1", "causal");
    double wide = error("layer/longformer:window=24", "causal");
    assertTrue(narrow > 10 * 1e-4, "a window of one is not exact: " + narrow);
    assertTrue(wide < narrow, wide + " < " + narrow);
  }

  @Test
  void reformerSharesQueriesAndKeysAndLunaPacks() throws IOException {
    for (String spec :
        List.of("layer/reformer", "layer/luna", "layer/gla", "layer/nystromformer:landmarks=8")) {
      Problem problem = problem(spec, "none");
      Tensors inputs = problem.load();
      Tensor output = problem.newOutput();
      problem.attention().plan(problem.shape(), problem.mask(), 1).forward(inputs, output);
      double sum = 0;
      for (float value : output.data()) {
        sum += Math.abs(value);
      }
      assertTrue(sum > 0 && Double.isFinite(sum), spec);
    }
    Tensors shared = problem("layer/reformer", "none").load();
    assertTrue(!shared.has("k") && shared.has("x"), shared.names().toString());
    double error = error("layer/reformer", "causal");
    assertTrue(Double.isFinite(error) && error > 0, "compared with its own shared-QK target");
  }

  @Test
  void recordsOfALayerCarryItsNameErrorAndRows() throws IOException {
    Sweep sweep = sweep(List.of("layer/longformer:window=4", "layer/retnet"), "causal");
    SweepRunner.Summary summary =
        new SweepRunner(sweep, new JmhForks(), new Progress(new StringBuilder(), false))
            .run(folder.resolve("results.jsonl"));
    assertEquals(2, summary.count(Status.OK), summary.toString());
    ResultRecord approximate = summary.records().get(0);
    assertEquals("layer/longformer", approximate.mechanism());
    assertEquals("4", approximate.parameters().get("window"));
    assertNotNull(approximate.error());
    assertTrue(approximate.error().relativeFrobenius() > 0);
    assertNotNull(approximate.input().entropy());
    ResultRecord another = summary.records().get(1);
    assertEquals("layer/retnet", another.mechanism());
    assertNull(another.error(), "what approximates nothing has no error");
  }

  private static double error(String spec, String mask) throws IOException {
    Problem problem = problem(spec, mask);
    Tensors inputs = problem.load();
    Tensor output = problem.newOutput();
    problem.attention().plan(problem.shape(), problem.mask(), 2).forward(inputs, output);
    return problem.error(inputs, output).relativeFrobenius();
  }

  private static Problem problem(String spec, String mask) throws IOException {
    return Problem.of(new Point(Study.FORWARD, spec, N, 8, 2, 1, mask, 1, "gaussian:scale=1", 7));
  }

  private static Sweep sweep(List<String> specs, String mask) {
    Sweep d = Sweep.defaults(1);
    return new Sweep(
        d.studies(),
        specs,
        List.of(N),
        d.dims(),
        d.heads(),
        d.batches(),
        List.of(mask),
        d.threads(),
        d.inputs(),
        d.seeds(),
        new Effort(1, new Forks.Settings(1, 2, 10)),
        0,
        1);
  }
}
