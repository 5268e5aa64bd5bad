// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import com.sun.management.ThreadMXBean;
import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.lang.management.ManagementFactory;
import java.util.concurrent.locks.LockSupport;

/// Checks of what a plan allocates.
final class ResourceChecks {
  private static final int ROUNDS_PER_PAUSE = 10;
  private static final int CALLS_PER_ROUND = 5;
  private static final int QUIET_ROUNDS = 3;
  private static final int SAMPLED_CALLS = 5_000;

  private ResourceChecks() {}

  static void scratch(ContractSubject subject) {
    for (int n : Runs.lengths(subject)) {
      for (AttentionShape shape : Runs.shapes(subject, n)) {
        requireScratch(subject, shape);
      }
    }
    AttentionShape s = subject.shape(Runs.middleLength(subject));
    requireScratch(subject, s.withBatchAndHeads(3, s.numHeads()));
    if (subject.attention().capabilities().groupedQueries()) {
      requireScratch(subject, s.withKeyValueHeads(1));
    }
    if (subject.attention().capabilities().valueDim()) {
      requireScratch(subject, s.withValueDim(s.valueDim() + 3));
    }
  }

  private static void requireScratch(ContractSubject subject, AttentionShape shape) {
    Attention attention = subject.attention();
    for (Mask mask : Runs.masks(subject, shape)) {
      for (int threads = 1; threads <= 3; threads++) {
        long counted = attention.plan(shape, mask, threads).scratchBytes();
        long declared = attention.cost(shape, mask, threads).scratchBytes();
        if (counted != declared) {
          throw new AssertionError(
              Runs.describe(subject, shape, mask, threads + " threads: ")
                  + "declared scratch must equal the "
                  + counted
                  + " bytes allocated, but was "
                  + declared);
        }
      }
      double flops = attention.cost(shape, mask, 1).flops();
      double bytes = attention.cost(shape, mask, 1).bytesMoved();
      boolean work = shape.querySeqLen() > 0 && shape.keySeqLen() > 0;
      boolean counted = work ? flops > 0 && bytes > 0 : flops >= 0 && bytes >= 0;
      if (!counted || Double.isInfinite(flops) || Double.isInfinite(bytes)) {
        throw new AssertionError(
            Runs.describe(subject, shape, mask, "cost must be finite and > 0"));
      }
    }
  }

  static void noAllocation(ContractSubject subject) {
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    for (Mask mask : Runs.masks(subject, shape)) {
      requireNoAllocation(subject, shape, mask, 1);
    }
    requireNoAllocation(subject, shape, Runs.plainMask(subject), 2);
  }

  /// Vector code allocates until it has been compiled, so calls are repeated until some rounds in a
  /// row allocate nothing, with pauses that let the compiler catch up on a busy machine.
  private static void requireNoAllocation(
      ContractSubject subject, AttentionShape shape, Mask mask, int threads) {
    Attention attention = subject.attention();
    AttentionPlan plan = attention.plan(shape, mask, threads);
    Tensors inputs = Runs.inputs(subject, shape, 41);
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    Tensors results = Tensors.NONE;
    for (TensorSpec spec : attention.results(shape)) {
      results = results.with(spec.name(), Tensor.zeros(spec.shape().toArray()));
    }
    Tensors asked = results;
    requireQuiet(
        subject,
        () -> plan.forward(inputs, out, asked),
        Runs.describe(subject, shape, mask, threads + " threads: forward"));
  }

  static void gradientCost(ContractSubject subject) {
    Attention attention = subject.attention();
    if (!attention.capabilities().gradients()) {
      return;
    }
    for (int n : Runs.lengths(subject)) {
      for (AttentionShape shape : Runs.shapes(subject, n)) {
        requireGradientCost(subject, shape);
      }
    }
    AttentionShape s = subject.shape(Runs.middleLength(subject));
    requireGradientCost(subject, s.withBatchAndHeads(3, s.numHeads()));
    if (attention.capabilities().groupedQueries()) {
      requireGradientCost(subject, s.withKeyValueHeads(1));
    }
    if (attention.capabilities().valueDim()) {
      requireGradientCost(subject, s.withValueDim(s.valueDim() + 3));
    }
  }

  private static void requireGradientCost(ContractSubject subject, AttentionShape shape) {
    Attention attention = subject.attention();
    for (Mask mask : Runs.masks(subject, shape)) {
      for (int threads = 1; threads <= 3; threads++) {
        DifferentiablePlan plan = attention.differentiable(shape, mask, threads);
        GradientCost cost = attention.gradientCost(shape, mask, threads);
        String what = Runs.describe(subject, shape, mask, threads + " threads: declared ");
        requireEqual(plan.keptBytes(), cost.keptBytes(), what + "bytes kept");
        requireEqual(plan.scratchBytes(), cost.scratchBytes(), what + "scratch of both passes");
        boolean work = shape.querySeqLen() > 0 && shape.keySeqLen() > 0;
        if (!Double.isFinite(cost.flops()) || cost.flops() < 0 || (work && cost.flops() == 0)) {
          throw new AssertionError(what + "work must be finite and > 0, but was " + cost.flops());
        }
      }
    }
  }

  private static void requireEqual(long counted, long declared, String what) {
    if (counted != declared) {
      throw new AssertionError(
          what + " must equal the " + counted + " bytes allocated, but was " + declared);
    }
  }

  static void noGradientAllocation(ContractSubject subject) {
    if (!subject.attention().capabilities().gradients()) {
      return;
    }
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    for (Mask mask : Runs.masks(subject, shape)) {
      requireNoGradientAllocation(subject, shape, mask, 1);
    }
    requireNoGradientAllocation(subject, shape, Runs.plainMask(subject), 2);
  }

  private static void requireNoGradientAllocation(
      ContractSubject subject, AttentionShape shape, Mask mask, int threads) {
    Attention attention = subject.attention();
    DifferentiablePlan plan = attention.differentiable(shape, mask, threads);
    Tensors inputs = Runs.inputs(subject, shape, 42);
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    Tensor gradOut = GradientRuns.outputGradient(attention, shape, 43);
    Tensors results = GradientRuns.results(attention, shape);
    Tensors upstream = GradientRuns.upstream(attention, shape, 44);
    Tensors gradients = GradientRuns.places(attention, shape, inputs);
    requireQuiet(
        subject,
        () -> {
          plan.forward(inputs, out, results);
          plan.backward(gradOut, upstream, gradients);
        },
        Runs.describe(subject, shape, mask, threads + " threads: forward and backward"));
  }

  /// Repeats calls until some rounds in a row allocate nothing.
  private static void requireQuiet(ContractSubject subject, Runnable call, String what) {
    ThreadMXBean threadBean = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    call.run();
    long[] workers = workerIds();
    long[] before = new long[workers.length];
    long[] after = new long[workers.length];
    long least = Long.MAX_VALUE;
    int quiet = 0;
    for (int round = 0; round < subject.allocationRounds() && quiet < QUIET_ROUNDS; round++) {
      allocated(threadBean, workers, before);
      for (int c = 0; c < CALLS_PER_ROUND; c++) {
        call.run();
      }
      allocated(threadBean, workers, after);
      long bytes = 0;
      for (int w = 0; w < workers.length; w++) {
        bytes += after[w] - before[w];
      }
      least = Math.min(least, bytes);
      quiet = bytes == 0 ? quiet + 1 : 0;
      if (quiet == 0 && round % ROUNDS_PER_PAUSE == 0) {
        LockSupport.parkNanos(5_000_000);
      }
    }
    if (quiet < QUIET_ROUNDS) {
      throw new AssertionError(
          what
              + " must allocate nothing, but "
              + CALLS_PER_ROUND
              + " calls allocated at least "
              + least
              + " bytes: "
              + AllocationSites.of(call, SAMPLED_CALLS));
    }
  }

  private static void allocated(ThreadMXBean threadBean, long[] ids, long[] bytes) {
    for (int i = 0; i < ids.length; i++) {
      bytes[i] = threadBean.getThreadAllocatedBytes(ids[i]);
    }
  }

  private static long[] workerIds() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(
            thread ->
                thread == Thread.currentThread()
                    || thread.getName().startsWith("crossover-worker-"))
        .mapToLong(Thread::threadId)
        .toArray();
  }
}
