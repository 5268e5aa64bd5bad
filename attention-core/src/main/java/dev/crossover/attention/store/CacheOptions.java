// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.Attention;
import dev.crossover.attention.mechanism.RecordType;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// What a session does with the keys and values it caches: how it stores them, and which it keeps.
///
/// On the command line they are parameters of any mechanism that caches keys: `store=int8`,
/// `cache=h2o,budget=1024,decode_interval=1`, the policy's own parameters beside it.
///
/// @param storage form of a row
/// @param policy what stays; everything where absent
/// @param decodeInterval steps between two compressions; 0 compresses after the prompt only
public record CacheOptions(Storage storage, @Nullable CachePolicy policy, int decodeInterval) {
  private static final String STORE = "store";
  private static final String CACHE = "cache";
  private static final String INTERVAL = "decode_interval";

  /// Floats, and all of them.
  public static final CacheOptions NONE = new CacheOptions(Storage.F32, null, 0);

  /// Refuses what cannot be combined.
  public CacheOptions {
    if (decodeInterval < 0) {
      throw new IllegalArgumentException("decode_interval must be >= 0, but was " + decodeInterval);
    }
    boolean drops = policy != null && policy.paging() == null;
    if (drops && storage.kind() == Storage.Kind.GROUPED) {
      throw new IllegalArgumentException(
          "store must not be grouped where cache drops positions, because rows share scales, but"
              + " was "
              + storage.label());
    }
  }

  /// Whether sessions compute with other numbers than those given: any storage but floats, and any
  /// policy.
  public boolean changesOutputs() {
    return policy != null || storage.kind() != Storage.Kind.F32;
  }

  /// Whether a session with numbered slots can have them: rows that share no scales, and all of
  /// them.
  public boolean suitSlots() {
    return policy == null && storage.kind() != Storage.Kind.GROUPED;
  }

  /// Refuses a policy, for a mechanism that chooses itself what it keeps or reads.
  ///
  /// @return form of a row
  /// @throws IllegalArgumentException if there is a policy, by name
  public Storage requireWhole(Attention attention) {
    CachePolicy given = policy;
    if (given != null) {
      throw new IllegalArgumentException(
          attention.name()
              + ": cache must not be given, because the mechanism says itself what it keeps, but"
              + " was "
              + given.name());
    }
    return storage;
  }

  /// Names of all parameters that [#take] may understand.
  public static List<String> parameters() {
    Set<String> names = new LinkedHashSet<>(List.of(STORE, CACHE, INTERVAL, "budget"));
    for (RecordType<CachePolicy> type : CachePolicies.all()) {
      type.parameters().forEach(parameter -> names.add(parameter.name()));
    }
    return List.copyOf(names);
  }

  /// Whether parameters name a store or a policy.
  public static boolean isIn(Map<String, String> parameters) {
    return parameters.containsKey(STORE) || parameters.containsKey(CACHE);
  }

  /// Takes the parameters of store and policy out of those of a mechanism.
  ///
  /// @param parameters text per name; what is understood here is removed, but for rotary positions,
  ///     which mechanism and policy share
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static CacheOptions take(Map<String, String> parameters) {
    String store = parameters.remove(STORE);
    String name = parameters.remove(CACHE);
    Storage storage = store == null ? Storage.F32 : Storage.parse(store);
    if (name == null) {
      return new CacheOptions(storage, null, 0);
    }
    Map<String, String> own = new LinkedHashMap<>();
    parameters.forEach(
        (key, value) -> {
          if (CachePolicies.has(name, key)) {
            own.put(key, value);
          }
        });
    own.keySet().stream().filter(key -> !isShared(key)).forEach(parameters::remove);
    String interval = parameters.remove(INTERVAL);
    CachePolicy policy = CachePolicies.create(name, own);
    try {
      int steps = interval == null ? usualInterval(policy) : Integer.parseInt(interval);
      return new CacheOptions(storage, policy, steps);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "decode_interval must be an integer, but was '" + interval + "'", e);
    }
  }

  /// Whether the mechanism rotates by what the policy must know, too.
  private static boolean isShared(String parameter) {
    return parameter.startsWith("rope");
  }

  private static int usualInterval(CachePolicy policy) {
    return policy.needsPrompt() || policy.paging() != null ? 0 : 1;
  }

  /// The shortest parameters that [#take] turns into these options.
  public Map<String, String> toMap() {
    Map<String, String> map = new LinkedHashMap<>();
    if (!storage.equals(Storage.F32) || policy == null) {
      map.put(STORE, storage.label());
    }
    CachePolicy kept = policy;
    if (kept != null) {
      map.put(CACHE, kept.name());
      map.putAll(CachePolicies.type(kept.name()).changedParametersOf(kept));
      if (decodeInterval != usualInterval(kept)) {
        map.put(INTERVAL, Integer.toString(decodeInterval));
      }
    }
    return map;
  }
}
