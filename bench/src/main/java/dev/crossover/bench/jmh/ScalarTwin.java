// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import java.io.File;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// The same mechanism on the scalar kernels, inside the same process: its classes are loaded a
/// second time, by a loader of their own, while scalar kernels are asked for.
public final class ScalarTwin {
  private static final String KERNELS = "crossover.kernels";

  private ScalarTwin() {}

  /// The twin's classes, loaded once.
  private static final class Loaded {
    static final Method ANSWERS = load();

    private static Method load() {
      try {
        return new URLClassLoader(classPath(), ClassLoader.getPlatformClassLoader())
            .loadClass(ScalarTwin.class.getName())
            .getMethod(
                "answers",
                String.class,
                String.class,
                int[].class,
                String.class,
                String.class,
                long.class);
      } catch (ReflectiveOperationException | MalformedURLException e) {
        throw new IllegalStateException("scalar kernels must be loaded, but: " + e, e);
      }
    }
  }

  /// What the scalar kernels give for a point's whole sequence: the output and, of training, every
  /// gradient; of decoding over a cache that rounds or drops, [AnswerCheck#lastTokens].
  ///
  /// @throws IllegalStateException if they cannot be run
  static synchronized float[][] answers(Point point) {
    String before = System.getProperty(KERNELS);
    System.setProperty(KERNELS, "scalar");
    Thread thread = Thread.currentThread();
    ClassLoader loader = thread.getContextClassLoader();
    try {
      // mechanisms of other jars are looked up with it
      thread.setContextClassLoader(Loaded.ANSWERS.getDeclaringClass().getClassLoader());
      return (float[][])
          Loaded.ANSWERS.invoke(
              null,
              point.study().word(),
              point.spec(),
              new int[] {point.n(), point.dim(), point.heads(), point.batch()},
              point.mask(),
              point.input(),
              point.seed());
    } catch (InvocationTargetException e) {
      Throwable cause = e.getCause();
      throw new IllegalStateException(
          "scalar kernels must run beside the others, but: " + cause, cause);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("scalar kernels must run beside the others, but: " + e, e);
    } finally {
      thread.setContextClassLoader(loader);
      if (before == null) {
        System.clearProperty(KERNELS);
      } else {
        System.setProperty(KERNELS, before);
      }
    }
  }

  /// Called in the loader's own copy of this class, so that only types of the JDK are exchanged.
  ///
  /// @param study name of the study; of decoding from exact caches, a forward pass is made
  /// @param spec mechanism
  /// @param sizes length, head width, heads and batch as in a point
  /// @param mask `none` or `causal`
  /// @param input label of the input
  /// @param seed seed of everything drawn
  /// @return the elements of the output and, of training, of every gradient
  /// @throws IOException if the input cannot be read
  public static float[][] answers(
      String study, String spec, int[] sizes, String mask, String input, long seed)
      throws IOException {
    Problem problem =
        Problem.of(
            new Point(
                Study.of(study),
                spec,
                sizes[0],
                sizes[1],
                sizes[2],
                sizes[3],
                mask,
                1,
                input,
                seed));
    return AnswerCheck.answers(problem);
  }

  private static URL[] classPath() throws MalformedURLException {
    List<URL> urls = new ArrayList<>();
    for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
      urls.add(Path.of(entry).toAbsolutePath().toUri().toURL());
    }
    return urls.toArray(URL[]::new);
  }
}
