// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.split;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TaskTimeline;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import java.util.List;
import org.junit.jupiter.api.Test;

class WorkSplitTest {
  private static Problem problem(String spec) throws Exception {
    return Problem.of(new Point(Study.FORWARD, spec, 512, 16, 4, 1, "causal", 1, "gaussian", 7));
  }

  /// Two cores take 4, 3, 2, 2, 1 in turn: one has 4 and 2, the other 3, 2 and 1.
  @Test
  void whoIsFreeTakesTheNextTask() {
    WorkSplit split = new WorkSplit(List.of(new long[] {4, 3, 2, 2, 1}), 0);
    assertEquals(12e-9, split.longest(1), 1e-15);
    assertEquals(6e-9, split.longest(2), 1e-15);
    assertEquals(1.0, split.longestOverMean(2), 1e-12);
    assertEquals(4e-9, split.longest(5), 1e-15);
    assertEquals(5 * 4.0 / 12, split.longestOverMean(5), 1e-12);
  }

  /// A second phase waits for the first; what is no task stays with one core.
  @Test
  void phasesFollowEachOtherAndTheRestIsSerial() {
    WorkSplit split = new WorkSplit(List.of(new long[] {5, 1}, new long[] {3, 3}), 12);
    assertEquals(8e-9, split.longest(2), 1e-15);
    assertEquals(0.5, split.serialShare(), 1e-12);
    assertEquals(24.0 / 20, split.speedUp(2), 1e-12);
    assertEquals(4, split.tasks());
  }

  @Test
  void aPlanOnATimelineGivesTheBitsOfAnyOther() throws Exception {
    Problem problem = problem("tiled");
    Tensor expected = problem.newOutput();
    problem.attention().plan(problem.shape(), problem.mask(), 2).forward(problem.load(), expected);
    TaskTimeline timeline = new TaskTimeline();
    PlanRequest request =
        PlanRequest.checked(problem.attention(), problem.shape(), problem.mask(), 1);
    Tensor actual = problem.newOutput();
    problem.attention().newPlan(request.on(timeline)).forward(problem.load(), actual);
    assertArrayEquals(expected.data(), actual.data());
    // keys are packed, then blocks of rows are attended
    assertEquals(2, timeline.phases().size());
    assertThrows(
        IllegalArgumentException.class,
        () ->
            problem
                .attention()
                .newPlan(
                    PlanRequest.checked(problem.attention(), problem.shape(), problem.mask(), 2)
                        .on(timeline)));
  }

  /// Maps of queries, keys and values, softmax attention in two phases, the difference: what a
  /// mechanism leaves to another's plan is on its timeline, too.
  @Test
  void partsOfAPlanAreOnItsTimeline() throws Exception {
    Problem problem = problem("differential");
    TaskTimeline timeline = new TaskTimeline();
    PlanRequest request =
        PlanRequest.checked(problem.attention(), problem.shape(), problem.mask(), 1);
    problem.attention().newPlan(request.on(timeline)).forward(problem.load(), problem.newOutput());
    assertEquals(3 + 2, timeline.phases().size());
  }

  @Test
  void everyTaskIsTimed() throws Exception {
    WorkSplit split = WorkSplit.of(problem("longformer:window=64"), 2);
    assertTrue(split.tasks() >= 4, "tasks " + split.tasks());
    assertTrue(split.taskSeconds() > 0);
    assertTrue(split.longestOverMean(64) >= split.longestOverMean(1));
    assertEquals(1.0, split.longestOverMean(1), 1e-9);
  }
}
