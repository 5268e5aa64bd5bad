package dev.crossover.variants;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.MechanismType;
import org.junit.jupiter.api.Test;

class CatalogueTest {

  @Test
  void everyMechanismIsFoundByNameAndDescribesItsDefaultsAsItsName() {
    for (MechanismType type : Catalogue.all()) {
      assertEquals(type, Catalogue.find(type.name()));
      assertEquals(type.name(), type.describe(type.defaults()));
    }
  }

  @Test
  void namesAreUnique() {
    long distinct = Catalogue.all().stream().map(MechanismType::name).distinct().count();
    assertEquals(Catalogue.all().size(), distinct);
  }

  @Test
  void parametersAreParsedAndDescribedBack() {
    assertEquals(
        "tiled:scale=0.25", Catalogue.find("tiled").describe(Catalogue.parse("tiled:scale=0.25")));
  }

  @Test
  void typingErrorIsAnsweredWithTheNearestName() {
    var error = assertThrows(IllegalArgumentException.class, () -> Catalogue.parse("tilde"));
    assertTrue(error.getMessage().contains("did you mean tiled?"), error.getMessage());
    error = assertThrows(IllegalArgumentException.class, () -> Catalogue.parse("tiled:scal=1"));
    assertTrue(error.getMessage().contains("did you mean scale?"), error.getMessage());
  }
}
