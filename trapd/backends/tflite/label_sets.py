"""Label sets that many models share, and which of their labels are animals, persons and vehicles.

Data and a few sums over it; `labels` asks. Sets are known by their labels, never by a file's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# COCO's animals come first, then those that models for camera traps name most often.
ANIMALS: Final = _words(
    """
    animal animals wildlife fauna creature mammal mammals bird birds reptile reptiles amphibian fish
    insect unknown_animal other_animal animal_other cat dog horse sheep cow elephant bear zebra giraffe
    black_bear brown_bear polar_bear panda giant_panda red_panda tiger amur_tiger siberian_tiger lion
    lioness leopard amur_leopard snow_leopard clouded_leopard jaguar cheetah puma cougar mountain_lion
    lynx bobcat ocelot leopard_cat wildcat wild_cat serval caracal fox red_fox arctic_fox grey_fox
    gray_fox wolf grey_wolf gray_wolf coyote jackal dhole wild_dog domestic_dog raccoon_dog hyena
    spotted_hyena badger honey_badger marten yellow-throated_marten weasel otter mink skunk raccoon
    mongoose civet genet wolverine ferret polecat stoat sable boar wild_boar feral_pig pig hog peccary
    warthog hippo hippopotamus rhino rhinoceros deer red_deer roe_deer sika_deer musk_deer fallow_deer
    white-tailed_deer white_tailed_deer mule_deer water_deer muntjac moose elk reindeer caribou antelope
    gazelle impala kudu eland wildebeest buffalo bison gaur yak goat mountain_goat goral serow ibex
    chamois mouflon bighorn_sheep cattle bull calf donkey mule foal tapir camel llama alpaca kangaroo
    wallaby wombat koala possum opossum echidna platypus tasmanian_devil quokka bandicoot quoll dingo
    monkey macaque baboon ape gorilla chimpanzee orangutan gibbon langur lemur sloth anteater armadillo
    pangolin aardvark porcupine hedgehog hare rabbit squirrel chipmunk marmot groundhog beaver mouse rat
    rodent vole mole shrew bat agouti paca capybara nutria pheasant partridge grouse turkey wild_turkey
    chicken hen cock rooster duck goose swan heron stork crane_bird eagle hawk falcon vulture owl crow
    raven magpie jay pigeon dove woodpecker thrush robin sparrow tit parrot ostrich emu cassowary
    peafowl peacock penguin seal sea_lion whale dolphin snake lizard turtle tortoise crocodile alligator
    frog toad salamander butterfly moth bee spider beetle crab
    """
)

PERSONS: Final = _words(
    """
    person persons people human humans homo_sapiens man woman men women boy girl child children adult
    pedestrian hiker hunter ranger poacher rider cyclist human_person person_human
    """
)

VEHICLES: Final = _words(
    """
    vehicle vehicles bicycle bike car motorcycle airplane bus train truck boat motorbike aeroplane van
    suv pickup pickup_truck lorry tractor quad quad_bike atv snowmobile scooter moped trailer jeep taxi
    ambulance helicopter ship canoe kayak raft minivan minibus
    """
)

EMPTIES: Final = _words(
    """
    empty blank background nothing none no_animal no_animals non_animal nonanimal false_positive
    false_positives false_trigger empty_image empty_frame no_detection no_object vegetation_only misfire
    """
)

# The rest of COCO, and what stands in its lists for numbers that are not used.
THINGS: Final = _words(
    """
    ??? n/a unused traffic_light fire_hydrant street_sign stop_sign parking_meter bench hat backpack
    umbrella shoe eye_glasses handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat
    baseball_glove skateboard surfboard tennis_racket bottle plate wine_glass cup fork knife spoon bowl
    banana apple sandwich orange broccoli carrot hot_dog pizza donut doughnut cake chair couch sofa
    potted_plant pottedplant bed mirror dining_table diningtable window desk toilet door tv tvmonitor
    laptop computer_mouse remote keyboard cell_phone microwave oven toaster sink refrigerator blender
    book clock vase scissors teddy_bear hair_drier hair_dryer hair_brush toothbrush grass leaf leaves
    tree plant plants rock stone snow water shadow branch
    """
)

KEYBOARD: Final = "keyboard"
MOUSE: Final = "mouse"

_IMAGENET: Final = 1000
_IMAGENET_FIRST: Final = ("tench", "n01440764")
_IMAGENET_ANIMALS: Final = 398  # its classes are sorted so that these come first
_IMAGENET_PERSONS: Final = frozenset({981, 982, 983})
_IMAGENET_VEHICLES: Final = frozenset(
    map(
        int,
        _words(
            """
    403 404 405 407 408 417 436 444 450 466 468 472 484 510 511 537 547 554 555 561 565 569 573 575 576
    586 595 603 609 612 621 625 627 628 654 656 661 665 670 671 675 690 694 705 717 724 734 751 757 779
    780 802 803 814 817 820 829 833 847 856 864 866 867 870 871 874 880 895 914
    """
        ),
    )
)

_BINOMIAL: Final = r"[A-Z][a-z-]+ (?:[x\u00d7] )?[a-z-]{2,}(?: [a-z-]+)?(?: \(.+\))?"
_FEWEST_SPECIES: Final = 10
_MOSTLY: Final = 0.8

# Genera of plants and fungi that lists of species are made of. One that is missing here counts as an animal:
# more is kept then.
_PLANTS: Final = frozenset(
    _words(
        """
    Abies Abutilon Acer Achillea Aesculus Ageratina Allium Alnus Amanita Ambrosia Anemone Arctostaphylos
    Arisaema Aristolochia Artemisia Asclepias Aster Baccharis Berberis Betula Bidens Calochortus
    Campanula Carex Castilleja Ceanothus Centaurea Chenopodium Cichorium Cirsium Clematis Convolvulus
    Cornus Crataegus Cypripedium Dactylis Datura Daucus Delphinium Digitalis Echinacea Echium Epilobium
    Equisetum Erigeron Eriogonum Erodium Erythranthe Eschscholzia Eucalyptus Euphorbia Fagus Ficus
    Fragaria Fraxinus Galium Ganoderma Geranium Geum Hedera Helianthus Heracleum Hibiscus Hydrangea
    Hypericum Ilex Impatiens Ipomoea Iris Juglans Juniperus Lactuca Lamium Lantana Larix Lathyrus
    Ligustrum Lilium Linaria Liquidambar Liriodendron Lobelia Lonicera Lotus Lupinus Magnolia
    Maianthemum Malus Malva Medicago Melilotus Mentha Mimulus Monarda Morus Nuphar Nymphaea Oenothera
    Opuntia Oxalis Papaver Parthenocissus Passiflora Penstemon Phacelia Phlox Phytolacca Picea Pinus
    Plantago Pleurotus Polygonatum Populus Potentilla Primula Prunella Prunus Pseudotsuga Pteridium
    Quercus Ranunculus Rhus Ribes Robinia Rosa Rubus Rudbeckia Rumex Salix Salvia Sambucus Sanguinaria
    Saxifraga Sedum Senecio Sequoia Silene Solanum Solidago Sonchus Sorbus Stellaria Symphoricarpos
    Symphyotrichum Syringa Tanacetum Taraxacum Taxodium Thalictrum Thuja Tilia Toxicodendron
    Tradescantia Tragopogon Trametes Trifolium Trillium Tsuga Typha Ulmus Urtica Vaccinium Verbascum
    Verbena Veronica Viburnum Vicia Vinca Viola Vitis Yucca
    """
    )
)

# Ranks above the genus, as lineages spell them.
_ANIMAL_TAXA: Final = frozenset(
    _words(
        """
    actinopterygii amphibia animalia annelida arachnida arthropoda aves chondrichthyes chordata
    gastropoda insecta malacostraca mammalia mollusca reptilia
    """
    )
)
_OTHER_TAXA: Final = frozenset(
    _words(
        """
    bacteria chromista fungi plantae protista protozoa viruses
    """
    )
)
_LINEAGE: Final = r"[;/_|,\s]+"


def imagenet_base(labels: Sequence[str]) -> int | None:
    """Where ImageNet's 1000 classes begin among the labels; None if these are others."""
    for base in (0, 1):
        if len(labels) == _IMAGENET + base and labels[base].strip().lower().startswith(_IMAGENET_FIRST):
            return base
    return None


def imagenet_class(number: int) -> str:
    """What class `number` of ImageNet's 1000 is: animal, person, vehicle or nothing."""
    if number < _IMAGENET_ANIMALS:
        return "animal"
    if number in _IMAGENET_PERSONS:
        return "person"
    return "vehicle" if number in _IMAGENET_VEHICLES else "nothing"


def are_species(labels: Sequence[str]) -> bool:
    """Whether nearly all are scientific names, as iNaturalist's models have them."""
    named = [label for label in labels if label.strip()]
    fitting = sum(1 for label in named if re.fullmatch(_BINOMIAL, label.strip()))
    return len(named) >= _FEWEST_SPECIES and fitting >= _MOSTLY * len(named)


def species_class(label: str) -> str | None:
    """`animal` or `nothing` for a scientific name; None for anything else."""
    name = label.strip()
    if not re.fullmatch(_BINOMIAL, name):
        return None
    if name.startswith("Homo sapiens"):
        return "person"
    return "nothing" if name.split(" ", 1)[0] in _PLANTS else "animal"


def lineage_class(label: str) -> str | None:
    """Of a label that spells a lineage (`...;mammalia;carnivora;...`, `00012_Animalia_...`); else None."""
    parts = [part for part in re.split(_LINEAGE, label.strip().lower()) if part]
    if len(parts) < 3:
        return None
    words = frozenset(parts)
    if "homo" in words and "sapiens" in words:
        return "person"
    if words & _OTHER_TAXA:
        return "nothing"
    return "animal" if words & _ANIMAL_TAXA else None
