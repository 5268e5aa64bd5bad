package dev.crossover.attention.kernel;

/// Chooses the kernels once per JVM.
final class KernelSelection {
  static final Kernels KERNELS = new ScalarKernels();

  private KernelSelection() {}
}
