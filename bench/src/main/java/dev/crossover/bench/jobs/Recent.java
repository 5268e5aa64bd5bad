// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jobs;

import java.io.IOException;
import java.lang.ref.SoftReference;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The last few things that several points of a job need, kept by this process while there is
/// memory for them.
///
/// @param <K> what they are made from
/// @param <V> what they are
public final class Recent<K, V> {
  private final int most;
  private final Map<K, SoftReference<V>> kept = new LinkedHashMap<>();

  /// Makes what is not there.
  ///
  /// @param <V> what is made
  @FunctionalInterface
  public interface Maker<V> {
    /// Makes it.
    ///
    /// @throws IOException if something that it needs cannot be read
    V make() throws IOException;
  }

  /// @param most number of things kept, at least 1
  public Recent(int most) {
    this.most = most;
  }

  /// What was made from this key, made now where it is not there; other threads wait meanwhile.
  ///
  /// @throws IOException if it cannot be made, after which nothing is kept for the key
  public synchronized V get(K key, Maker<V> maker) throws IOException {
    SoftReference<V> known = kept.remove(key);
    @Nullable V value = known == null ? null : known.get();
    if (value == null) {
      value = maker.make();
    }
    put(key, value);
    return value;
  }

  /// Keeps what was made elsewhere.
  public synchronized void put(K key, V value) {
    kept.remove(key);
    kept.put(key, new SoftReference<>(value));
    if (kept.size() > most) {
      kept.remove(kept.keySet().iterator().next());
    }
  }
}
