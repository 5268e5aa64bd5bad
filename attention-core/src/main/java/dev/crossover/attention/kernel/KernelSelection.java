// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import java.util.Locale;

/// Chooses the kernels once per JVM and says why.
///
/// | system property         | values                | default                                     |
/// |-------------------------|-----------------------|---------------------------------------------|
/// | `crossover.kernels`     | `vector`, `scalar`    | `vector` where it is known to be fast       |
/// | `crossover.vector.bits` | `128`, `256`, `512`   | the widest of the machine, never exceeded   |
///
/// Nothing here refers to a class that needs the vector module unless the module is there.
final class KernelSelection {
  static final String KERNELS_PROPERTY = "crossover.kernels";
  static final String BITS_PROPERTY = "crossover.vector.bits";

  /// The kernels in use.
  static final Kernels KERNELS = choose();

  /// Whether they are the vector kernels.
  static final boolean VECTOR = KERNELS.lanes() > 1;

  private KernelSelection() {}

  private static Kernels choose() {
    String wanted = System.getProperty(KERNELS_PROPERTY, "").toLowerCase(Locale.ROOT);
    switch (wanted) {
      case "scalar":
        return scalar("asked for by " + KERNELS_PROPERTY);
      case "", "vector":
        break;
      default:
        throw new IllegalArgumentException(
            KERNELS_PROPERTY + " must be scalar or vector, but was " + wanted);
    }
    String bits = System.getProperty(BITS_PROPERTY, "512");
    if (!bits.equals("128") && !bits.equals("256") && !bits.equals("512")) {
      throw new IllegalArgumentException(
          BITS_PROPERTY + " must be 128, 256 or 512, but was " + bits);
    }
    if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
      return announced("start Java with --add-modules jdk.incubator.vector for the fast ones");
    }
    if (wanted.isEmpty()) {
      String reason = slowVirtualMachine();
      if (reason != null) {
        return announced(reason + "; -D" + KERNELS_PROPERTY + "=vector insists");
      }
    }
    try {
      return VectorProvider.load();
    } catch (LinkageError | UnsupportedOperationException e) {
      return announced("the vector module of this Java does not fit: " + e);
    }
  }

  /// Why vector code would be slow here, or null: without C2's intrinsics every vector operation
  /// allocates and is hundreds of times slower than a scalar loop.
  private static @org.jspecify.annotations.Nullable String slowVirtualMachine() {
    String name = System.getProperty("java.vm.name", "");
    String info = System.getProperty("java.vm.info", "");
    String version = System.getProperty("java.vm.version", "");
    if (!name.contains("HotSpot") && !name.contains("OpenJDK")) {
      return "the vector kernels need HotSpot, this is " + name;
    }
    if (info.contains("interpreted")
        || info.contains("emulated-client")
        || name.contains("Client")) {
      return "the vector kernels need the C2 compiler, this JVM runs in " + info;
    }
    if (version.contains("jvmci")) {
      return "the vector kernels need the C2 compiler, this JVM is " + version;
    }
    return null;
  }

  /// Scalar kernels that nobody asked for, and therefore said.
  private static Kernels announced(String reason) {
    System.getLogger("dev.crossover.attention.kernel")
        .log(System.Logger.Level.INFO, "Using scalar kernels: {0}", reason);
    return scalar(reason);
  }

  private static Kernels scalar(String reason) {
    return new ScalarKernels("scalar (" + reason + ")");
  }

  /// Keeps the reference to vector code out of the enclosing class's verification.
  private static final class VectorProvider {
    static Kernels load() {
      return new VectorKernels();
    }
  }
}
